// The Arrow Flight SQL JDBC driver (what DBeaver uses): one line of JSON per check. TCP only.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;

public class Suite {
  interface Check {
    void run() throws Exception;
  }

  static class NotOffered extends Exception {}

  static final Map<String, Check> CHECKS = new LinkedHashMap<>();

  static String env(String name) {
    return System.getenv(name);
  }

  static String sql(String name) {
    return env("SQL_" + name);
  }

  static Connection connect(String token) throws SQLException {
    Properties options = new Properties();
    boolean isTls = env("ENCLAVE_TLS_ROOTS") != null;
    options.put("useEncryption", String.valueOf(isTls));
    if (isTls) options.put("tlsRootCerts", env("ENCLAVE_TLS_ROOTS"));
    if (env("ENCLAVE_TLS_CERTIFICATE") == null) {
      options.put("token", token);
    } else { // with "token" the driver begins with a handshake, which does not exist over mutual TLS
      options.put("clientCertificate", env("ENCLAVE_TLS_CERTIFICATE"));
      options.put("clientKey", env("ENCLAVE_TLS_KEY"));
      options.put("authorization", "Bearer " + token);
    }
    return DriverManager.getConnection("jdbc:arrow-flight-sql://" + env("ENCLAVE_ADDRESS"), options);
  }

  static List<List<Object>> rows(ResultSet found) throws SQLException {
    List<List<Object>> rows = new ArrayList<>();
    while (found.next()) {
      List<Object> row = new ArrayList<>();
      for (int i = 1; i <= found.getMetaData().getColumnCount(); i++) row.add(found.getObject(i));
      rows.add(row);
    }
    found.close();
    return rows;
  }

  static List<List<Object>> query(String text) throws SQLException {
    try (Connection connection = connect(env("ENCLAVE_TOKEN")); Statement statement = connection.createStatement()) {
      return rows(statement.executeQuery(text));
    }
  }

  static void expect(Object found, Object wanted) {
    if (!wanted.equals(found)) throw new AssertionError("expected " + wanted + ", found " + found);
  }

  static void refused(Check call, String sentence) {
    try {
      call.run();
    } catch (Throwable error) {
      if (!error.getMessage().contains(sentence)) {
        throw new AssertionError("expected '" + sentence + "' in: " + error.getMessage());
      }
      return;
    }
    throw new AssertionError("expected a refusal with '" + sentence + "', found none");
  }

  static void catalogue() throws Exception {
    try (Connection connection = connect(env("ENCLAVE_TOKEN"))) {
      DatabaseMetaData data = connection.getMetaData();
      expect(rows(data.getCatalogs()), List.of(List.of("extract")));
      expect(rows(data.getSchemas()).get(0).get(0), "main");
      expect(names(data.getTables(null, null, "%", null), "TABLE_NAME"), List.of("person", "visit"));
      expect(names(data.getColumns(null, null, "visit", "%"), "COLUMN_NAME"), List.of("visit_id", "person_id", "sex"));
      expect(names(data.getPrimaryKeys(null, null, "person"), "COLUMN_NAME"), List.of());
      expect(names(data.getImportedKeys(null, null, "person"), "FKCOLUMN_NAME"), List.of());
      expect(names(data.getExportedKeys(null, null, "person"), "FKCOLUMN_NAME"), List.of());
      expect(names(data.getCrossReference(null, null, "person", null, null, "visit"), "FKCOLUMN_NAME"), List.of());
      expect(data.getDatabaseProductName(), "Enclave gateway");
      everyQuestionIsAnswered(data);
    }
  }

  static List<String> names(ResultSet found, String column) throws SQLException {
    List<String> names = new ArrayList<>();
    while (found.next()) names.add(found.getString(column));
    found.close();
    return names;
  }

  static void everyQuestionIsAnswered(DatabaseMetaData data) throws Exception {
    for (var method : DatabaseMetaData.class.getMethods()) {
      if (method.getParameterCount() > 0) continue;
      Object answer = method.invoke(data);
      if (answer instanceof ResultSet) ((ResultSet) answer).close();
    }
  }

  static void simple() throws Exception {
    expect(query(sql("SIMPLE")), List.of(List.of(0L, "name-0"), List.of(1L, "name-1")));
    expect(query(sql("AGGREGATE")), List.of(List.of("F", 2500L), List.of("M", 2500L)));
  }

  static void large() throws Exception {
    long characters = 0;
    try (Connection connection = connect(env("ENCLAVE_TOKEN"));
        Statement statement = connection.createStatement();
        ResultSet found = statement.executeQuery(sql("LARGE"))) {
      while (found.next()) characters += found.getString("wide").length();
    }
    expect(characters, Long.parseLong(env("LARGE_CHARACTERS")));
  }

  static void parameters() throws Exception {
    try (Connection connection = connect(env("ENCLAVE_TOKEN"));
        PreparedStatement statement = connection.prepareStatement(sql("PARAMETERS"))) {
      statement.setLong(1, 7);
      statement.setString(2, "name-7");
      statement.setDouble(3, 0.5);
      statement.setBoolean(4, true);
      expect(rows(statement.executeQuery()), List.of(List.of(7L)));
    }
  }

  static void otherParameters() throws Exception {
    try (Connection connection = connect(env("ENCLAVE_TOKEN"));
        PreparedStatement statement = connection.prepareStatement(sql("OTHER_PARAMETERS"))) {
      statement.setDate(1, Date.valueOf("2020-01-08"));
      statement.setBigDecimal(2, new BigDecimal("12.34"));
      statement.setTimestamp(3, Timestamp.valueOf("2024-02-29 23:59:59.123"));
      statement.setBytes(4, new byte[] {0, 1});
      statement.setNull(5, Types.INTEGER);
      statement.setTime(6, Time.valueOf("12:34:56"));
      expect(rows(statement.executeQuery()), List.of(List.of(7L)));
    }
  }

  static void again() throws Exception {
    try (Connection connection = connect(env("ENCLAVE_TOKEN"));
        PreparedStatement statement = connection.prepareStatement("SELECT label FROM person WHERE person_id = ?")) {
      for (long number = 3; number < 5; number++) {
        statement.setLong(1, number);
        expect(rows(statement.executeQuery()), List.of(List.of("name-" + number)));
      }
    }
  }

  static void types() throws Exception {
    try (Connection connection = connect(env("ENCLAVE_TOKEN"));
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql("TYPES"))) {
      row.next();
      expect(row.getByte("tiny"), (byte) -128);
      expect(row.getLong("big"), Long.MAX_VALUE);
      expect(row.getBigDecimal("decimal"), new BigDecimal("12345678901234567890123456789.123456789"));
      expect(row.getDouble("double"), 1.5);
      expect(row.getBoolean("yes"), true);
      expect(row.getDate("day").toString(), "2024-02-29");
      expect(row.getTimestamp("moment").toString(), "2024-02-29 23:59:59.123456");
      expect(row.getTimestamp("instant").toString(), "2024-02-29 12:00:00.0");
      expect(row.getTime("clock").toString(), "12:34:56.789");
      row.getInt("nothing");
      expect(row.wasNull(), true);
      expect(row.getString("odd"), env("ODD_TEXT"));
      expect(Arrays.equals(row.getBytes("bytes"), new byte[] {0, (byte) 255}), true);
      expect(Arrays.asList((Object[]) row.getArray("list").getArray()), Arrays.asList(1, null, 3));
      expect(String.valueOf(row.getObject("pair")).contains("\"b\":\"x\""), true);
    }
  }

  static void columnsFirst() throws Exception {
    try (Connection connection = connect(env("ENCLAVE_TOKEN"));
        PreparedStatement statement =
            connection.prepareStatement("SELECT label, seen_on FROM person WHERE person_id = ? AND seen_on < ?")) {
      expect(statement.getMetaData().getColumnCount(), 2);
      expect(statement.getMetaData().getColumnName(2), "seen_on");
      expect(statement.getMetaData().getColumnType(2), Types.DATE);
      expect(statement.getParameterMetaData().getParameterCount(), 2);
    }
  }

  static void helpers() throws Exception {
    expect(query("SHOW TABLES"), List.of(List.of("person"), List.of("visit")));
    expect(query("DESCRIBE visit").size(), 3);
    expect(query("SUMMARIZE visit").size(), 3);
    String plan = query("EXPLAIN SELECT label FROM person").toString().toUpperCase(Locale.ROOT);
    expect(plan.contains("SCAN"), true);
  }

  static void pivot() throws Exception {
    expect(query(sql("PIVOT")), List.of(List.of(2500L, 2500L)));
    expect(query(sql("UNPIVOT")), List.of(List.of("a", 1), List.of("b", 2)));
    refused(() -> query(sql("OPEN_PIVOT")), "ON column IN (");
  }

  static void cancel() throws Exception {
    try (Connection connection = connect(env("ENCLAVE_TOKEN")); Statement statement = connection.createStatement()) {
      long started = System.nanoTime();
      Thread stopper = new Thread(() -> {
        try {
          Thread.sleep(1000);
          statement.cancel();
        } catch (Exception error) {
          System.err.println("cancel: " + error);
        }
      });
      stopper.start();
      try {
        rows(statement.executeQuery(sql("LONG")));
        throw new AssertionError("the cancelled query ended well");
      } catch (SQLException expected) {
        double seconds = (System.nanoTime() - started) / 1e9;
        if (seconds > 10) throw new AssertionError("it ended after " + seconds + " s");
      } finally {
        stopper.join();
      }
    }
  }

  static void write() throws Exception {
    try (Connection connection = connect(env("ENCLAVE_TOKEN")); Statement statement = connection.createStatement()) {
      refused(() -> statement.executeUpdate(sql("WRITE")), "read-only");
      refused(() -> statement.execute(sql("WRITE")), "read-only");
    }
  }

  static void once(String token) throws Exception {
    try (Connection connection = connect(token); Statement statement = connection.createStatement()) {
      rows(statement.executeQuery("SELECT 1"));
    }
  }

  static String quoted(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') out.append('\\').append(c);
      else if (c < ' ' || c > '~') out.append(String.format("\\u%04x", (int) c));
      else out.append(c);
    }
    return out.append('"').toString();
  }

  public static void main(String[] arguments) {
    CHECKS.put("connect", () -> expect(query("SELECT 1 AS one"), List.of(List.of(1))));
    CHECKS.put("wrong token refused", () -> refused(() -> once(env("ENCLAVE_WRONG_TOKEN")), "altered or from"));
    CHECKS.put("expired token refused", () -> refused(() -> once(env("ENCLAVE_EXPIRED_TOKEN")), "expired"));
    CHECKS.put("catalogue", Suite::catalogue);
    CHECKS.put("rows and aggregates", Suite::simple);
    CHECKS.put("result over 64 MiB", Suite::large);
    CHECKS.put("parameters: numbers, text", Suite::parameters);
    CHECKS.put("parameters: other types", Suite::otherParameters);
    CHECKS.put("prepared, run again", Suite::again);
    CHECKS.put("types", Suite::types);
    CHECKS.put("columns before running", Suite::columnsFirst);
    CHECKS.put("SHOW, DESCRIBE, EXPLAIN", Suite::helpers);
    CHECKS.put("PIVOT", Suite::pivot);
    CHECKS.put("partitions", () -> { throw new NotOffered(); });
    CHECKS.put("cancel", Suite::cancel);
    CHECKS.put("refusal is a sentence", () -> refused(() -> query(sql("REFUSED")), "It holds: person, visit"));
    CHECKS.put("write refused", Suite::write);
    CHECKS.put("ingest refused", () -> { throw new NotOffered(); });
    if (env("ENCLAVE_CHECKS") != null) CHECKS.keySet().retainAll(List.of(env("ENCLAVE_CHECKS").split("\\|")));
    CHECKS.forEach(Suite::report);
    System.exit(0);
  }

  static void report(String name, Check check) {
    String result = "yes";
    String trouble = "";
    long started = System.nanoTime();
    try {
      check.run();
    } catch (NotOffered none) {
      result = "not-offered";
    } catch (Throwable error) {
      result = "no";
      trouble = String.valueOf(error);
      Throwable cause = error.getCause();
      if (cause != null) trouble += " <- " + cause;
    }
    double seconds = Math.round((System.nanoTime() - started) / 1e7) / 100.0;
    System.out.println("{\"check\": " + quoted(name) + ", \"result\": " + quoted(result)
        + ", \"seconds\": " + seconds + ", \"trouble\": " + quoted(trouble) + "}");
  }
}

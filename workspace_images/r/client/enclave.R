# Your project's data from R. Attached before your first cell as "enclave"; the same gateway, token and records as in Python.
#
#   enclave_project()                      which project this is, and until when
#   enclave_tables()                       what is in your extract
#   enclave_sql("SELECT ...")              a data.frame; ? marks are filled from parameters = list(...)
#   enclave_request_release("table.csv", title = "...", context = "...")     follows = "r-..." for the next version
#
# Types: whole numbers beyond 32 bits and decimals become numeric (with a warning where digits are lost), DATE Date,
# TIMESTAMP POSIXct in UTC, TIME difftime in seconds, texts character. Other types: cast them in the query.

enclave_sql <- function(statement, parameters = list()) {
  request <- list(do = "sql", statement = paste(statement, collapse = "\n"), parameters = unname(as.list(parameters)))
  .enclave_ask(request, .enclave_frame)
}

enclave_tables <- function() .enclave_ask(list(do = "tables"), .enclave_frame)

enclave_project <- function() {
  told <- .enclave_ask(list(do = "project"))
  cat(sprintf("%s (%s), as %s, until %s\n", told$title, told$project, told$username, told$expires_on))
  invisible(told)
}

enclave_request_release <- function(files, title, context, follows = "") {
  asked <- list(do = "request_release", files = as.list(files), title = title, context = context, follows = follows)
  told <- .enclave_ask(asked)
  cat(told$said, "\n", sep = "")
  invisible(told$id)
}

.enclave_ask <- function(request, read = function(told, file) told) {
  folder <- tempfile("enclave")
  dir.create(folder, mode = "0700")
  on.exit(unlink(folder, recursive = TRUE))
  file <- file.path(folder, "columns")
  asked <- file.path(folder, "request")
  writeLines(jsonlite::toJSON(request, auto_unbox = TRUE, digits = NA), asked, useBytes = TRUE)
  said <- suppressWarnings(system2(
    "/opt/image/bin/python3.11", c("-m", "enclave_client.for_r", file),
    stdin = asked, stdout = TRUE, stderr = file.path(folder, "noise")
  ))
  told <- tryCatch(jsonlite::fromJSON(paste(said, collapse = ""), simplifyVector = FALSE), error = function(e) NULL)
  if (is.null(told)) stop("Interrupted, or the client ended without an answer. Run the cell again.", call. = FALSE)
  if (!is.null(told$problem)) stop(told$problem, call. = FALSE)
  read(told, file)
}

.enclave_frame <- function(told, file) {
  connection <- base::file(file, "rb")
  on.exit(close(connection))
  columns <- lapply(told$columns, .enclave_column, rows = told$rows, connection = connection)
  names(columns) <- vapply(told$columns, function(column) column$name, "")
  structure(columns, class = "data.frame", row.names = .set_row_names(told$rows))
}

.enclave_column <- function(column, rows, connection) {
  values <- switch(column$stored,
    integer = readBin(connection, "integer", rows),
    double = readBin(connection, "double", rows),
    text = {
      distinct <- readBin(connection, "character", column$distinct)
      Encoding(distinct) <- "UTF-8"
      distinct[readBin(connection, "integer", rows)]
    }
  )
  if (isTRUE(column$rounded)) {
    warning(sprintf("%s: numbers beyond 2^53 have lost digits; cast it to VARCHAR to keep them", column$name), call. = FALSE)
  }
  switch(column$class,
    logical = as.logical(values),
    Date = structure(values, class = "Date"),
    POSIXct = structure(values, class = c("POSIXct", "POSIXt"), tzone = "UTC"),
    difftime = structure(values, class = "difftime", units = "secs"),
    values
  )
}

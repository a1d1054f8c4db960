"""Both images in a real workspace: what a researcher finds in Python works, and R is a kernel like any other.

R runs in its own file system with the same walls; its queries are recorded with the person's identity.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from enclave_gateway_stand import PROJECT, GatewayStand  # type: ignore[import-not-found]
from enclave_test_stand import wait_for  # type: ignore[import-not-found]

from enclave.cli.doctor import doctor
from enclave.domain.ids import Username, WorkspaceId
from enclave.sandbox import SandboxProfile, popen
from enclave.settings import Settings
from enclave.workspaces import kernel_images
from enclave.workspaces.environments import kernel_environment
from enclave.workspaces.launch import Places, profile

FIT_ONE_OF_EACH = """
import altair, dask, distributed, duckdb, lifelines, matplotlib, numpy, pandas, plotnine, polars, pyarrow, sklearn
import enclave_client as enclave, statsmodels.formula.api as smf, tableone
from lifelines.datasets import load_rossi
from sklearn.linear_model import LogisticRegression
stay = enclave.sql("SELECT ward, day FROM stay").df()
counted = duckdb.sql("SELECT ward, count(*) FROM stay GROUP BY 1 ORDER BY 1").fetchall()
print("duckdb, polars", counted == polars.from_pandas(stay).group_by("ward").len().sort("ward").rows())
rossi = load_rossi()
print("lifelines", round(float(lifelines.CoxPHFitter().fit(rossi, "week", "arrest").params_["prio"]), 2))
print("lifelines", round(float(lifelines.KaplanMeierFitter().fit(rossi["week"], rossi["arrest"]).predict(52)), 2))
print("statsmodels", round(float(smf.logit("arrest ~ prio", rossi).fit(disp=0).params["prio"]), 2))
print("sklearn", round(float(LogisticRegression().fit(rossi[["prio"]], rossi["arrest"]).coef_[0][0]), 2))
print("tableone", tableone.TableOne(rossi, columns=["age"], groupby="arrest").tableone.shape[1] > 1)
import matplotlib.pyplot as plt
figure = (plotnine.ggplot(rossi, plotnine.aes("age", "prio")) + plotnine.geom_point()).draw()
print("plotnine", len(figure.axes)); plt.close(figure)
print("altair", altair.Chart(rossi.head(5)).mark_point().encode(x="age", y="prio").to_dict()["mark"]["type"])
"""


@pytest.fixture(scope="module")
def alice() -> Iterator[Any]:
    with GatewayStand() as stand:
        browser = stand.browser("alice")
        browser.here = browser.start_workspace(PROJECT)
        browser.r = browser.open_kernel(browser.here, "ir")
        browser.home = stand.settings.workspaces_dir / PROJECT / "alice"
        yield browser


def in_r(alice: Any, code: str, seconds: float = 60) -> str:
    return str(alice.execute(alice.here, alice.r, code, seconds))


def test_python_fits_one_model_with_each_package(alice: Any) -> None:
    printed = alice.run_cell(alice.here, FIT_ONE_OF_EACH, 150)
    assert printed.splitlines() == [
        "duckdb, polars True",
        "lifelines 0.09",
        "lifelines 0.74",
        "statsmodels 0.12",
        "sklearn 0.12",
        "tableone True",
        "plotnine 1",
        "altair point",
    ], printed


def test_r_is_offered_beside_python(alice: Any) -> None:
    specs = alice.call("GET", f"{alice.here}/api/kernelspecs").json()
    assert specs["default"] == "python3"
    assert {name: spec["spec"]["display_name"] for name, spec in specs["kernelspecs"].items()} == {
        "python3": "Python 3 (ipykernel)",
        "ir": "R",
    }


def test_a_query_from_r_is_a_data_frame_and_on_record(alice: Any) -> None:
    asked = "SELECT ward, count(*) AS n, min(day) AS first FROM stay WHERE ward <> ? GROUP BY 1 ORDER BY 1"
    code = f"d <- enclave_sql('{asked}', list('west'))\ncat(d$ward, sapply(d, function(x) class(x)[1]), nrow(d))"
    assert in_r(alice, code) == "north south character numeric Date 2"
    queries = alice.call("GET", f"{alice.here}/enclave/queries").json()
    assert queries[0]["statement"] == asked
    assert in_r(alice, "enclave_project()") == "Ward study (ward-study), as alice, until 2099-12-31\n"
    assert in_r(alice, "cat(enclave_tables()$column)") == "person_id ward day"


def test_a_refusal_in_r_is_the_gateways_sentence(alice: Any) -> None:
    assert "nowhere" in in_r(alice, "enclave_sql('SELECT * FROM nowhere')")
    assert "read-only" in in_r(alice, "enclave_sql('DROP TABLE stay')")
    assert "at least one file" in in_r(alice, "enclave_request_release(character(), title = 'x', context = 'y')")


def test_values_come_to_r_as_they_are(alice: Any) -> None:
    code = (
        "d <- enclave_sql(r'[SELECT * FROM (VALUES (true, 1::INTEGER, 1.5::DOUBLE, 'é\"x', DATE '1960-02-29', "
        "TIMESTAMP '2020-01-01 03:04:05.25', TIME '01:02:03', 12.34::DECIMAL(9,2), 3::BIGINT), "
        "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (false, -1, 'NaN', '', DATE '2020-01-01', "
        "TIMESTAMP '1960-01-01', TIME '00:00', 0, -3)) t(b, i, d, s, day, ts, tm, dec, big)]')\n"
        "cat(sapply(d, function(x) class(x)[1]), sep = ' '); cat('\\n')\n"
        "cat(unlist(lapply(d, function(x) is.na(x)[2])), is.nan(d$d), '\\n')\n"
        "cat(d$b, d$i, d$s, format(d$day), format(d$ts, '%Y-%m-%d %H:%M:%OS2'), as.numeric(d$tm), "
        "d$dec, d$big, sep = '|')"
    )
    types, missing, values = in_r(alice, code).split("\n")
    assert types == "logical integer numeric character Date POSIXct difftime numeric numeric"
    assert missing.split() == ["TRUE"] * 9 + ["FALSE", "FALSE", "TRUE"]
    assert values == (
        'TRUE|NA|FALSE|1|NA|-1|é"x|NA||1960-02-29|NA|2020-01-01|2020-01-01 03:04:05.25|NA|1960-01-01 00:00:00.00|'
        "3723|NA|0|12.34|NA|0|3|NA|-3"
    )


def test_a_model_and_a_plot_in_r(alice: Any) -> None:
    alice.displayed.clear()
    code = (
        "suppressPackageStartupMessages({library(survival); library(ggplot2); library(dplyr); library(data.table)})\n"
        "cat(round(coef(coxph(Surv(time, status) ~ age, lung)), 3), '\\n')\n"
        "ggplot(lung, aes(age, time)) + geom_point()"
    )
    assert in_r(alice, code, 90).startswith("0.019")
    picture = base64.b64decode(alice.displayed[-1]["image/png"])
    assert picture.startswith(b"\x89PNG") and len(picture) > 2000
    alice.displayed.clear()
    assert "rror" not in in_r(alice, "options(jupyter.plot_mimetypes = 'image/svg+xml')\nplot(1:3)")
    assert "<svg" in alice.displayed[-1]["image/svg+xml"]


def test_r_sees_its_own_file_system_and_no_network(alice: Any) -> None:
    code = (
        "cat(readLines('/etc/passwd'), file.exists('/usr/lib/R'), Sys.getenv('LD_PRELOAD'), '\\n')\n"
        "cat(list.files('/run/kernels'), list.files('/run/enclave'), list.files('/sys/class/net'), '\\n')\n"
        "tryCatch(socketConnection('127.0.0.1', 8000, timeout = 2), error = function(e) cat('refused'),"
        " warning = function(w) cat('refused'))"
    )
    accounts, folders, socket = in_r(alice, code).split("\n")
    assert accounts.startswith("researcher:x:") and "TRUE" in accounts and "root" not in accounts
    assert folders.split()[0] == alice.r and "gateway.sock" in folders
    assert socket == "refused"


def test_r_reads_no_workspace_that_lies_beside_a_notebook(alice: Any) -> None:
    """A ``.RData`` in the shared folder could bring a ``.First`` that runs as whoever opens the notebook."""
    assert in_r(alice, "cat('--no-restore' %in% commandArgs())") == "TRUE"


def test_a_cell_of_r_is_interrupted_and_variables_stay(alice: Any) -> None:
    in_r(alice, "kept <- 1")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(in_r, alice, "file.create('busy')\nwhile (TRUE) Sys.sleep(0.1)")
        wait_for((alice.home / "busy").exists, "the cell to run")
        assert alice.call("POST", f"{alice.here}/api/kernels/{alice.r}/interrupt").status_code == 204
        running.result(60)
    assert in_r(alice, "cat(kept)") == "1"


def test_a_crashed_r_kernel_comes_back(alice: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        crash = pool.submit(alice.watch, alice.here, alice.r, "tools::pskill(Sys.getpid(), 9)", "restarting")
        assert crash.result(60)
    wait_for(lambda: alice.answers(alice.here, alice.r, "cat('back')", "back"), "the kernel to be back")


def test_python_runs_on_the_sites_own_root_file_system(tmp_path: Path) -> None:
    """``ENCLAVE_IMAGE_ROOT``: here R's image serves as one; what is seen is its Debian, not this machine's."""
    usual = Settings()
    settings = Settings(home=tmp_path, image_root=usual.r_image)
    places = Places(settings.root, WorkspaceId("w-000000000000"))
    places.create()
    home = tmp_path / "researcher"
    home.mkdir(mode=0o755)
    env = kernel_environment(Username("alice"))
    made = profile(settings, places, home, env, uid=os.geteuid(), memory_mb=2048, processes=64, disk_mb=64)
    code = (
        "import ctypes, lzma, os, readline, sqlite3, ssl, pandas, pyarrow\n"
        "print(os.path.exists('/usr/lib/R/bin/R'), os.path.exists('/usr/bin/bwrap'), os.listdir('/etc/R') != [])"
    )
    running = popen(made, ["/opt/image/bin/python3.11", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = running.communicate(timeout=120)
    assert said.decode() == "True False True\n"


def test_without_its_image_there_is_no_r_and_the_doctor_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path, r_image=tmp_path / "none")
    kernel = SandboxProfile(binds=())
    assert kernel_images.other_kernels(settings, kernel) == {} and kernel_images.kernelspecs(settings) == ((), {})
    monkeypatch.setattr("enclave.cli.doctor.get_settings", lambda: settings)
    with pytest.raises(SystemExit):
        doctor()
    assert "R image: none (make r-image builds one), so workspaces offer Python only" in capsys.readouterr().out

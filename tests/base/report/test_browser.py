"""The page in a real browser, headless Chromium: nothing is logged, nothing overflows, tables sort, links open records.

Skipped where chromium and chromedriver (Debian: ``apt-get install chromium chromium-driver``) or selenium are missing.
"""

from __future__ import annotations

import os
import shutil

import pytest

from autovul.base.report import build
from autovul.base.result import Metric
from tests.base.report.records import GENOTYPE, campaign, make, training

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install '.[dev]'")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")
WIDTHS = (360, 800, 1280)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage"]
    for flag in [*flags, "--no-sandbox"] if os.geteuid() == 0 else flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    rows = tuple({"alpha": a, "losses": [1.0, 2.0, 3.0]} for a in (-1.0, 0.0, 1.0))
    curve = ({"method": "boundary", "roc": [[0.0, 0.0], [0.2, 0.7], [1.0, 1.0]]},)
    results = campaign(2, ["table1", "fig2", "fig10", "fig12"])
    results = [r.replace(series=curve) if r.experiment == "membership" else r for r in results]
    results += [r.replace(series=rows) for r in campaign(1, ["loss_contour"])]
    results += [training("drnas", "nas", seed, 95.0, dataset="digits") for seed in (1, 2)]
    results += [make("a_network_of_ones_own_with_a_very_long_name_indeed", "yours", options=results[40].options)]
    results += [make("lost", status="failed", message="x" * 300, metrics={}, dataset="svhn")]
    results += [make(experiment="new", metrics={"m" * 80: Metric(1.0, "unit" * 20)}, algorithm="l" * 60)]
    results = [r.replace(facts={**r.facts, "genotype": GENOTYPE}) if r.group == "nas" else r for r in results]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(build(results, [(path.with_name("b" * 200), "not valid JSON")]).html(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "report.html"
    path.write_text(build([]).html(), encoding="utf-8")
    return path.as_uri()


def open_page(browser, uri, width=1280, scheme="light"):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    browser.get("about:blank")
    browser.get(uri)


def overflowing(browser, width):
    """Elements whose right edge lies beyond the window, but for what scrolls in a frame of its own."""
    return browser.execute_script(
        """
        for (const each of document.querySelectorAll("details")) each.open = true;
        if (document.documentElement.scrollWidth <= arguments[0]) return [];
        return [...document.querySelectorAll("main *")]
          .filter((e) => !e.closest(".scroll > *") && e.getBoundingClientRect().right > arguments[0] + 0.5)
          .map((e) => e.outerHTML.slice(0, 120)).concat([document.documentElement.scrollWidth]);
        """,
        width,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_logged_and_nothing_overflows(browser, page, empty, width, scheme):
    for uri in (page, empty):
        open_page(browser, uri, width, scheme)
        assert overflowing(browser, width) == []
        assert browser.get_log("browser") == []


def test_light_and_dark_have_the_contrast_to_be_read(browser, page):
    for scheme in ("light", "dark"):
        open_page(browser, page, scheme=scheme)
        for selector in ("body", ".about", ".verdict", "td.note", ".tick", ".mean-label", "figcaption"):
            ratio = browser.execute_script(CONTRAST, selector)
            assert ratio >= 4.5, (scheme, selector, ratio)


CONTRAST = """
const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
const linear = (v) => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
const light = (c) => { const [r, g, b] = c.map(linear); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const element = document.querySelector(arguments[0]), style = getComputedStyle(element);
const ink = light(rgb(element.namespaceURI.endsWith("svg") ? style.fill : style.color));
const paper = light(rgb(getComputedStyle(document.body).backgroundColor));
return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
"""


def test_every_column_of_every_table_sorts_both_ways(browser, page):
    open_page(browser, page)
    wrong = browser.execute_script(
        """
        const wrong = [];
        const key = (cell) => cell.dataset.sort ?? cell.textContent.trim();
        document.querySelectorAll("table.sortable").forEach((table, number) => {
          table.querySelectorAll("thead th").forEach((header, column) => {
            const seen = [];
            for (let click = 0; click < 2; click++) {
              header.querySelector("button").click();
              const order = header.getAttribute("aria-sort");
              seen.push(order);
              const keys = [...table.tBodies[0].rows].map((row) => key(row.cells[column]));
              const there = keys.filter((k) => k !== "" && k !== "\\u2013");
              if (keys.slice(0, there.length).join() !== there.join()) wrong.push([number, column, "missing last"]);
              if (there.every((k) => !isNaN(k))) {
                const values = there.map(Number), sign = order === "ascending" ? 1 : -1;
                if (values.some((v, i) => i && sign * (v - values[i - 1]) < 0)) wrong.push([number, column, order]);
              }
            }
            if (seen[0] === seen[1]) wrong.push([number, column, "same order twice"]);
          });
        });
        return wrong;
        """
    )
    assert wrong == []
    assert browser.execute_script("return document.querySelectorAll('table.sortable').length") > 5


def test_a_value_leads_to_its_runs_record(browser, page):
    open_page(browser, page)
    link = browser.execute_script("return document.querySelector('.values td a')")
    browser.execute_script("arguments[0].closest('details').open = true; arguments[0].click()", link)
    target = link.get_attribute("href").partition("#")[2]
    open_now = browser.execute_async_script(
        "setTimeout(() => { const e = document.getElementById(arguments[0]);"
        " arguments[1]([e.closest('details').open, e.getBoundingClientRect().top < innerHeight]); }, 300)",
        target,
    )
    assert open_now == [True, True]


def test_printing_opens_what_is_folded_and_fits_the_paper(browser, page):
    open_page(browser, page)
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script("return document.querySelectorAll('details.body:not([open])').length") == 0
    assert len(browser.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 10_000

"""The real page in a real browser, on the real service and model: as a person would use it.

`EARWITNESS_SCREENSHOTS=docs pytest tests/service/test_browser.py` writes the pictures in docs anew.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from service.running import running

sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium")
ANSWER_MS = 60_000
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with running(folder / "store", "--knowledge", str(folder / "known.db")) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=BROWSER,
            args=[
                "--no-sandbox",
                "--autoplay-policy=no-user-gesture-required",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
            ],
        )
        yield found
        found.close()


@pytest.fixture
def page(browser, service):
    context = browser.new_context(locale="en-GB", viewport={"width": 1200, "height": 900})
    context.set_default_timeout(ANSWER_MS)
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not ours(request.url, service) else None)
    page.goto(service)
    yield page
    context.close()
    assert said == []  # no error in the console, nothing fetched from elsewhere


def ours(url, service):
    return url.startswith((service, service.replace("http", "ws"), "data:", "blob:", "file:"))


@pytest.fixture(scope="module")
def partial(tmp_path_factory, samples):
    """A genuine recording with generated speech in its middle."""
    import soundfile

    genuine = soundfile.read(samples / "genuine-librispeech.flac", dtype="float32")[0]
    fake = soundfile.read(samples / "generated-thorsten-de.ogg", dtype="float32")[0][:64_000]
    half = len(genuine) // 2
    path = tmp_path_factory.mktemp("partial") / "partial.wav"
    soundfile.write(path, np.concatenate([genuine[:half], fake, genuine[half:]]), 16_000)
    return path


def take_picture(page, name):
    if "EARWITNESS_SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["EARWITNESS_SCREENSHOTS"]) / f"page-{name}.png")


def send(page, *files):
    page.set_input_files("input[type=file]", [str(file) for file in files])


def check_accessibility(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = [f for f in axe.run(page).response["violations"] if f["impact"] in SERIOUS]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []


def test_a_genuine_and_a_fake_recording_are_heard_labelled_and_known(page, service, samples):
    send(page, samples / "generated-clam-tts.m4a", samples / "genuine-vctk.mp3")
    listed = page.get_by_role("listitem")
    listed.filter(has_text="generated-clam-tts.m4a").get_by_text("fake", exact=True).wait_for()
    listed.filter(has_text="genuine-vctk.mp3").get_by_text("genuine", exact=True).wait_for()
    check_accessibility(page)
    take_picture(page, "home")
    page.get_by_role("link", name="generated-clam-tts.m4a").click()
    page.get_by_role("heading", name="Sounds synthetic").wait_for()
    page.get_by_role("button", name="Play", exact=True).wait_for()
    take_picture(page, "analysis")
    page.get_by_role("button", name="It is fake").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Generator").fill("clam-tts")
    check_accessibility(page)
    dialog.get_by_role("button").filter(has_text="fake").click()
    page.get_by_text("is in the knowledge base now").wait_for()
    page.get_by_role("link", name="Knowledge").click()
    page.get_by_text("clam-tts").first.wait_for()
    check_accessibility(page)
    take_picture(page, "knowledge")
    known = page.request.get(f"{service}/v1/knowledge").json()
    assert known["fake"] >= 1
    assert known["generators"]["clam-tts"] == 1


def test_a_span_can_be_listened_to_and_the_report_opened(page, service, partial, tmp_path):
    send(page, partial)
    page.get_by_role("link", name="partial.wav").click()
    page.get_by_role("button", name="Play", exact=True).wait_for()
    page.locator("button.span").first.click()
    page.get_by_role("button", name="Pause", exact=True).wait_for()  # it plays
    check_accessibility(page)
    with page.expect_download() as saved:
        page.get_by_role("link", name="Report, HTML").click()
    report = tmp_path / "report.html"
    saved.value.save_as(report)
    page.goto(report.as_uri())
    page.get_by_text("SHA-256").first.wait_for()
    take_picture(page, "report")


def test_on_a_telephone_in_the_dark_in_japanese(browser, service, samples):
    context = browser.new_context(
        locale="ja-JP", color_scheme="dark", viewport={"width": 360, "height": 780}, is_mobile=True
    )
    context.set_default_timeout(ANSWER_MS)
    page = context.new_page()
    page.goto(service)
    send(page, samples / "pink-noise.flac")
    page.get_by_role("link", name="pink-noise.flac").click()
    page.get_by_role("heading", name="話し声がありません").wait_for()
    page.get_by_role("button", name="再生").wait_for()
    assert page.evaluate("document.documentElement.lang") == "ja"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    check_accessibility(page)
    take_picture(page, "phone")
    context.close()


def test_a_recording_from_the_microphone_is_judged(page):
    page.get_by_role("button", name="Record from microphone").click()
    page.wait_for_timeout(4_000)
    page.get_by_role("button", name="Stop and judge").click()
    page.get_by_role("link", name="recording").first.click()
    page.get_by_role("heading", name="Nobody speaks").wait_for()  # the browser's own test signal beeps


def test_history_finds_and_compares(page, samples):
    send(page, samples / "genuine-ljspeech.flac", samples / "generated-tortoise.flac")
    page.get_by_role("link", name="generated-tortoise.flac").wait_for()
    page.get_by_role("link", name="genuine-ljspeech.flac").wait_for()
    page.get_by_role("link", name="History").click()
    page.get_by_role("checkbox").first.wait_for()
    check_accessibility(page)
    for box in page.get_by_role("checkbox").all()[:2]:
        box.check()
    page.get_by_role("button", name="Compare").or_(page.get_by_role("link", name="Compare")).first.click()
    page.wait_for_url("**/#/compare/**")
    page.get_by_text("P(fake)").first.wait_for()
    check_accessibility(page)

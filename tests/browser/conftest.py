"""A headless Chromium, driven by Selenium; nothing is downloaded."""

import base64
import json
import shutil

import pytest
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--no-first-run", "--window-size=1280,900"),
)


class Browser(Chrome):
    """With what the tests ask of it."""

    def open(self, path):
        """Loads a file, and forgets what was logged before."""
        self.logged()
        self.requested()
        self.get(path.resolve().as_uri())

    def run(self, script, *arguments):
        """The value of a script's ``return``."""
        return self.execute_script(script, *arguments)

    def press(self, key):
        """A key to whatever has the focus."""
        ActionChains(self).send_keys(key).perform()

    def click(self, selector):
        """Clicks an element, as a person would."""
        self.find_element(By.CSS_SELECTOR, selector).click()

    def logged(self):
        """Console entries since last asked."""
        return self.get_log("browser")

    def requested(self):
        """URLs asked for since last asked, but for data and the browser's own pages."""
        entries = self.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        urls = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("chrome", "data:"))]

    def resize(self, width, height, mobile=False, scale=1):
        """The viewport, as of a phone with ``mobile``."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def dark(self, on=True):
        """What the user's system prefers."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def screenshot(self, path):
        """A PNG of what is seen."""
        shot = self.execute_cdp_cmd("Page.captureScreenshot", {})
        path.write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One for all tests, with its own empty profile."""
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and chromium):
        pytest.fail("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in (*_ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The path is given, so Selenium looks for no driver, and downloads none.
    with Browser(options=options, service=Service(driver)) as browser:
        yield browser

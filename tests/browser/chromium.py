"""Just enough WebDriver to drive a headless Chromium: chromedriver speaks JSON over HTTP."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

ENTER, SPACE, LEFT, RIGHT, UP, DOWN = "\ue007", " ", "\ue012", "\ue014", "\ue013", "\ue015"
HOME, END, TAB = "\ue011", "\ue010", "\ue004"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--no-first-run", "--window-size=1280,900"),
)


class Browser:
    """A headless Chromium with its own empty profile; a context manager."""

    def __enter__(self):
        driver, browser = shutil.which("chromedriver"), shutil.which("chromium")
        if not (driver and browser):
            raise RuntimeError("needs chromium and chromedriver (see docs/evaluation.md)")
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        limit = threading.Timer(60, self._driver.kill)
        limit.start()
        lines = (re.search(r"started successfully on port (\d+)", x) for x in self._driver.stdout)
        match = next(filter(None, lines), None)  # none if it ended, by itself or by the limit
        limit.cancel()
        if match is None:
            self._driver.kill()
            self._close()
            raise RuntimeError("chromedriver didn't start")
        self._base = f"http://127.0.0.1:{match[1]}/session"
        options = {
            "binary": browser,
            "args": [*_ARGUMENTS, f"--user-data-dir={self._profile.name}", "about:blank"],
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        answer = self._ask("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._base += "/" + answer["sessionId"]
        return self

    def __exit__(self, *error):
        try:
            self._ask("DELETE", "")
        finally:
            self._driver.terminate()
            self._close()

    def _close(self):
        self._driver.wait(20)
        self._driver.stdout.close()
        self._profile.cleanup()

    def _ask(self, method, path, body=None):
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()[:500]) from None

    def open(self, path):
        """Loads a file, and forgets what was logged before."""
        self.logged()
        self.requested()
        self._ask("POST", "/url", {"url": path.resolve().as_uri()})

    def run(self, script, *arguments):
        """The value of a script's ``return``."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, key):
        """A key to whatever has the focus."""
        press = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": press}
        self._ask("POST", "/actions", {"actions": [keyboard]})

    def click(self, selector):
        """Clicks an element, as a person would."""
        element = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        self._ask("POST", f"/element/{element[_ELEMENT]}/click")

    def logged(self):
        """Console entries since last asked."""
        return self._ask("POST", "/se/log", {"type": "browser"})

    def requested(self):
        """URLs asked for since last asked, but for data and the browser's own pages."""
        entries = self._ask("POST", "/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        urls = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("chrome", "data:"))]

    def command(self, name, **parameters):
        """A command of the DevTools protocol."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def resize(self, width, height, mobile=False, scale=1):
        """The viewport, as of a phone with ``mobile``."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def dark(self, on=True):
        """What the user's system prefers."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.command("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path, whole=False):
        """A PNG of what is seen, or of the whole page."""
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

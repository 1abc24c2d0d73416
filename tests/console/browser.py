"""Drives Chromium through chromedriver, over plain HTTP."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
    "--no-first-run", "--disable-component-update", "--disable-sync", "--window-size=1280,1500",
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Browser:
    def __init__(self):
        self.port, self.folder = free_port(), tempfile.mkdtemp()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(["chromedriver", f"--port={self.port}"], **quiet)
        options = {"args": [*FLAGS, f"--user-data-dir={self.folder}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        for _ in range(100):
            try:
                made = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                break
            except OSError:
                time.sleep(0.1)
        self.base = "/session/" + made["sessionId"]

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def cdp(self, command, **params):
        return self.ask("POST", self.base + "/goog/cdp/execute", {"cmd": command, "params": params})

    def look(self, width, scheme):
        """A screen of this width, and the system's colour scheme."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=1500, deviceScaleFactor=1, mobile=width < 500)
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def go(self, url):
        self.ask("POST", self.base + "/url", {"url": url})

    def js(self, script, *args):
        return self.ask("POST", self.base + "/execute/sync", {"script": script, "args": list(args)})

    def press(self, key):
        for kind in ("rawKeyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13, "Escape": 27}[key]
            text = {"text": "\r"} if key == "Enter" and kind == "rawKeyDown" else {}
            kind = "keyDown" if text else kind
            self.cdp("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def until(self, what, script, seconds=30):
        end = time.time() + seconds
        while time.time() < end:
            if self.js(script):
                return
            time.sleep(0.2)
        raise AssertionError(f"{what} ({script}): {self.js('return document.body.innerText')[:3000]}")

    def errors(self):
        told = self.ask("POST", self.base + "/se/log", {"type": "browser"})
        return [one["message"] for one in told if one["level"] in ("SEVERE", "WARNING")]

    def close(self):
        try:
            self.ask("DELETE", self.base)
        finally:
            self.process.terminate()
            self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

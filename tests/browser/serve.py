"""The page of `frostline serve` in headless Chromium: choose a photo, read the classes, look at their maps.

    make test-browser

Needs what explorer.py needs. Trains a linear probe on the photos in assets/ first.

    python3 tests/browser/serve.py PROGRAM [FOLDER]    # FOLDER for the screenshots: out/browser
"""

import base64
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from explorer import Browser, line, print, programs, screenshots, wait

PHOTOS = Path(__file__).parent.parent.parent / "assets" / "photos"
# A folder may have such a name, which is then a class.
NAME = '<img src=x onerror="document.title=1"> & fish'


def trained(program, scratch):
    """A run on the photos, one of whose classes has an odd name."""
    for folder in [folder for folder in PHOTOS.iterdir() if folder.is_dir()]:
        shutil.copytree(folder, scratch / "photos" / (NAME if folder.name == "fish" else folder.name))
    command = [program, "train", str(scratch / "photos"), "--freeze-below", "fc", "--out", str(scratch / "run")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return scratch / "run"


def choose(browser, photo):
    """Gives the photo to the page, and waits for its text."""
    browser.js("document.querySelector('#said').textContent = ''")
    browser.post(f"element/{browser.find('#file')}/value", text=str(photo))
    return answered(browser)


def answered(browser):
    """The final text of the page."""
    said = lambda: (lambda text: text if text and text != "looking …" else None)(browser.text("#said"))
    return wait("an answer", said)


def drop(browser, photo):
    """Drops the photo on the page."""
    browser.js("document.querySelector('#said').textContent = ''")
    browser.js("""
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], "photo.jpg", { type: "image/jpeg" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    """, base64.b64encode(photo.read_bytes()).decode())
    return answered(browser)


def answer(url, photo):
    """The server's answer about the photo, without a page."""
    with urllib.request.urlopen(urllib.request.Request(f"{url}predict", photo.read_bytes())) as response:
        return json.load(response)


def brightest(browser):
    """The position of the map's brightest pixel, in shares of its sides."""
    return browser.js("""
        const canvas = document.querySelector("#map"), { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        let best = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 1] > data[best + 1]) best = i;
        return [(best / 4 % width) / width, Math.floor(best / 4 / width) / height];""")


def check_answer(browser, url):
    """The page's classes are the server's, as text, and its map is brightest where the server's is largest."""
    wait("the model", lambda: browser.text("#model"))
    assert "efficientnet_lite0" in browser.text("#model") and "6 classes" in browser.text("#model")
    photo = sorted((PHOTOS / "fish").iterdir())[0]
    said, expected = choose(browser, photo), answer(url, photo)["classes"]
    assert said.startswith(NAME), said
    rows = browser.js("return [...document.querySelectorAll('#classes button')].map((row) => [...row.querySelectorAll('span')].map((part) => part.textContent))")
    assert rows == [[one["name"], f"{100 * one['probability']:.1f} %"] for one in expected], rows
    for place, one in enumerate(expected[:3], 1):
        browser.click(f"#classes li:nth-child({place}) button")
        assert browser.js("return [...document.querySelectorAll('#classes button')].map((row) => row.ariaPressed)").index("true") == place - 1
        largest = max((value, x, y) for y, row in enumerate(one["map"]) for x, value in enumerate(row))
        x, y = (share * len(one["map"]) for share in brightest(browser))
        # If neighbours have the same byte value, any of their pixels may be the first.
        assert abs(x - largest[1] - 0.5) <= 1 and abs(y - largest[2] - 0.5) <= 1, (x, y, largest)
    assert not browser.js("return document.querySelector('#classes img, #said img, #model img') || document.title === '1'"), "a name was read as HTML"
    print(f"a photo was answered: {said}")


def check_error(browser, scratch):
    """A file that is not a photo gets the server's reason, and the next photo its answer."""
    broken = scratch / "broken.png"
    broken.write_text("no picture")
    said = choose(browser, broken)
    assert said.startswith("the photo: "), said
    assert browser.js("return document.querySelector('#answer').hidden && document.querySelector('#said').className === 'alert'")
    print(f"a broken photo was refused: {said}")
    assert choose(browser, sorted((PHOTOS / "windmill").iterdir())[0]).startswith("windmill")


def check_other_ways(browser):
    """A photo that is dropped, and one of the camera (Chromium's own, a green picture that moves)."""
    photos = [sorted((PHOTOS / name).iterdir())[0] for name in ("fish", "windmill")]
    chosen, dropped = (way(browser, photos[0]) for way in (choose, drop))
    assert chosen.split(" (")[0] == dropped.split(" (")[0], (chosen, dropped)
    browser.click("#camera")
    wait("the camera", lambda: browser.js("return document.querySelector('#video').videoWidth") > 0)
    browser.js("document.querySelector('#said').textContent = ''")
    browser.click("#camera")
    said = answered(browser)
    assert "%" in said and browser.js("return document.querySelector('#photo img').naturalWidth") == 640, said
    assert browser.js("return document.querySelector('#video').hidden")
    print(f"the camera's photo was answered: {said}")
    choose(browser, photos[1])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "out/browser")
    folder.mkdir(parents=True, exist_ok=True)
    driver, chromium = programs()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        run = trained(sys.argv[1], scratch)
        server = subprocess.Popen([sys.argv[1], "serve", str(run), "--port", "0"], stdout=subprocess.PIPE, text=True)
        browser = None
        try:
            url = line(server, r"(http://127\.0\.0\.1:\d+/)")[1]
            camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
            browser = Browser(driver, chromium, f"{scratch}/profile", ("--disable-gpu", *camera))
            browser.width(1280, 900)
            browser.post("url", url=url)
            check_answer(browser, url)
            check_error(browser, scratch)
            check_other_ways(browser)
            screenshots(browser, folder, "serve")
            # A refused photo is answered with status 400, which Chromium also logs.
            severe = [entry["message"] for entry in browser.post("se/log", type="browser") if entry["level"] == "SEVERE"]
            assert all("/predict" in message and "400" in message for message in severe), severe
        finally:
            if browser:
                browser.close()
            server.send_signal(signal.SIGINT)
            code = server.wait(60)
        assert code == 0, f"Ctrl-C ended the server with {code}"
    print(f"passed; screenshots in {folder}")


if __name__ == "__main__":
    main()

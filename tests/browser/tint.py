"""Every kernel text in headless Chromium, whose compiler, Tint, is stricter than naga, with WebGPU's default limits.

    make test-tint

Needs what explorer.py needs. Without a GPU, Chromium runs WebGPU on SwiftShader.

    python3 tests/browser/tint.py TEXTS     # what `frostline-texts` wrote

Modules are made of all texts that a browser could get, and pipelines of those that this adapter gets:
portable kernels, those of GPUs, and those of its subgroup size. Tiles of GPUs that need more workgroup memory than the default limit are
compiled with the adapter's; a plan has them only where the adapter has that much. Pipelines of Mesa's software driver
may have more storage textures than the default limit; those of browsers may not. Texts with 16-bit
floats are left out where the adapter has none, and always those that only wgpu takes: with matrices
of subgroups, and with `Params` in storage, which is for Mesa's software driver.
"""

import http.server
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from explorer import Browser, PATIENCE, programs

# naga rejects this line, Tint asks for it.
ENABLE = "enable subgroups; "

OPEN = """
const done = arguments[arguments.length - 1];
(async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return { error: 'Chromium offers no adapter for WebGPU' };
    const features = ['subgroups', 'shader-f16'].filter((name) => adapter.features.has(name));
    window.device = await adapter.requestDevice({ requiredFeatures: features });
    window.larger = await (await navigator.gpu.requestAdapter()).requestDevice({ requiredFeatures: features,
        requiredLimits: { maxComputeWorkgroupStorageSize: adapter.limits.maxComputeWorkgroupStorageSize } });
    window.compile = async (device, code, entryPoint) => {
        const module = device.createShaderModule({ code });
        await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint } });
    };
    const { vendor, architecture, description, subgroupMinSize, subgroupMaxSize } = adapter.info;
    const limits = Object.fromEntries(Array.from(['maxStorageBuffersPerShaderStage', 'maxComputeWorkgroupStorageSize',
        'maxComputeInvocationsPerWorkgroup', 'maxTextureDimension2D'], (name) => [name, device.limits[name]]));
    return { name: [vendor, architecture, description].join(' '), features, limits, sizes: [subgroupMinSize, subgroupMaxSize] };
})().then(done, (error) => done({ error: String(error) }));
"""

COMPILE = """
const [code, entries, done] = arguments;
(async () => {
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    const said = messages.map((one) => `${one.type} ${one.lineNum}:${one.linePos} ${one.message}`);
    const refused = await device.popErrorScope();
    if (refused && !said.length) said.push(refused.message);
    const pipelines = [];
    let larger = 0;
    for (const entryPoint of said.length ? [] : entries) {
        const start = performance.now();
        await compile(device, code, entryPoint).catch((error) => {
            if (!error.message.includes('total use of workgroup storage')) throw error;
            larger += 1;
            return compile(window.larger, code, entryPoint);
        }).catch((error) => said.push(`${entryPoint}: ${error.message}`));
        pipelines.push(performance.now() - start);
    }
    return { said, pipelines, larger };
})().then(done, (error) => done({ said: [String(error)], pipelines: [], larger: 0 }));
"""


# What a browser's plans are made with.
BROWSERS = {"portable", "gpu", "portable f16", "gpu f16"}


class Blank(http.server.BaseHTTPRequestHandler):
    """WebGPU is for pages of secure origins, such as this machine."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>texts</title>")

    def log_message(self, *_):
        pass


def left_out(text, features):
    """Why `text` is not for this browser, if it is not."""
    if text["stored_params"]:
        return "Params in storage"
    if text["cooperative"]:
        return "matrices of subgroups"
    if text["f16"] and "shader-f16" not in features:
        return "16-bit floats, which this adapter has not"
    if text["subgroups"] and "subgroups" not in features:
        return "subgroups, which this adapter has not"
    return None


def own(text, sizes):
    """Whether the adapter would get `text`, and not just one like it."""
    mine = {"portable", "gpu", f"subgroup {sizes[0]}"}
    return any(tuning.removesuffix(" f16") in mine for tuning in text["tunings"])


def check(browser, texts):
    adapter = browser.post("execute/async", script=OPEN, args=[])
    if "error" in adapter:
        sys.exit(f"FAILED: {adapter['error']}")
    print(f"{adapter['name']}, {', '.join(adapter['features']) or 'no features'}, subgroups of {adapter['sizes']}, {adapter['limits']}")
    skipped, modules, pipelines, larger, textures, failed = Counter(), 0, [], 0, 0, []
    for text in texts:
        if reason := left_out(text, adapter["features"]):
            skipped[reason] += 1
            continue
        code = (ENABLE if text["subgroups"] else "") + text["text"]
        entries = text["entries"] if own(text, adapter["sizes"]) else []
        answer = browser.post("execute/async", script=COMPILE, args=[code, entries])
        modules += 1
        larger += answer["larger"]
        pipelines += [(time, f"{entry} of {text['name']}") for entry, time in zip(entries, answer["pipelines"])]
        if not BROWSERS.intersection(text["tunings"]):
            many = [words for words in answer["said"] if "storage textures" in words]
            textures += len(many)
            answer["said"] = [words for words in answer["said"] if words not in many]
        if answer["said"]:
            failed.append((text, answer["said"]))
            print(f"{text['name']} of {', '.join(text['tunings'])}:\n    " + "\n    ".join(answer["said"]))
        if modules % 50 == 0:
            print(f"{modules} modules, {len(pipelines)} pipelines")
    for reason, count in skipped.items():
        print(f"left out: {count} texts with {reason}")
    for milliseconds, what in sorted(pipelines, reverse=True)[:5]:
        print(f"{milliseconds / 1000:.1f} s: {what}")
    if larger:
        print(f"{larger} pipelines need more workgroup memory than the default limit: tiles for adapters that have it")
    if textures:
        print(f"{textures} pipelines need more storage textures than the default limit: formats of Mesa's software driver")
    print(f"{modules} modules, {len(pipelines)} pipelines; {len(failed)} of {len(texts)} texts have errors or warnings")
    return not failed and modules


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    texts = json.loads(Path(sys.argv[1]).read_text())
    driver, chromium = programs()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(driver, chromium, profile, ["--enable-unsafe-webgpu", "--disable-quic"])
        try:
            browser.post("timeouts", script=int(1000 * PATIENCE))
            browser.post("url", url=f"http://127.0.0.1:{server.server_address[1]}/")
            passed = check(browser, texts)
        finally:
            browser.close()
            server.shutdown()
    print(f"{'passed' if passed else 'FAILED'} in {time.monotonic() - start:.0f} s")
    sys.exit(not passed)


if __name__ == "__main__":
    main()

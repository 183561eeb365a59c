"""The process behind one image of the page: opens it, previews, denoises and saves.

It is started before there is an image, since loading torch and compiled loops takes seconds.
Requests are lines of JSON on standard input, events lines of JSON on standard output. When the
input ends, the server is gone, and the process ends with its folder.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from denoise.cli.loading import modules_kept
from denoise.errors import DenoiseError

Request = dict[str, Any]


def main() -> None:
    """Serve requests until the input ends."""
    events = _claim_stdout()
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(requests,), daemon=True)
    listener.start()
    with modules_kept():
        from denoise.serve.image import Image, warm_up
    warm_up()

    def send(event: str, **more: Any) -> None:
        try:
            print(json.dumps({"event": event, **more}), file=events, flush=True)
        except BrokenPipeError:  # the server is gone
            listener.join()

    image = Image(send)
    actions: dict[str, Callable[..., None]] = {
        "open": image.open,
        "denoise": image.denoise,
        "view": image.view,
        "save": image.save,
    }
    while True:
        request = requests.get()
        try:
            actions[request.pop("do")](**request)
        except DenoiseError as error:
            send("failed", error=image.plain(str(error)))
        except MemoryError:
            send("failed", error="out of memory; use a smaller image")
        except Exception as error:
            traceback.print_exc()
            send("failed", error=f"internal error, please report it: {error!r}")


def _claim_stdout() -> Any:
    """Standard output for events alone: what libraries print goes to standard error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _listen(requests: queue.SimpleQueue[Request]) -> None:
    """Pass requests on; end the process when no more can come, whatever it is doing."""
    folder = None
    for line in sys.stdin:
        request = json.loads(line)
        folder = request.pop("folder", folder)
        requests.put(request)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)  # what was being written just then
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()

"""Makes the pictures of the pages: terminals of 80 columns, and the spectrum of a song of `mini`.

`python docs/pictures.py` (a minute or two) starts a service of its own, runs commands in it as a
person would, and writes `docs/pictures/*.svg` and `*.png`.
"""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack
from cli.terminal.picture import read_mono, write_spectrogram

FOLDER = Path(__file__).resolve().parent / "pictures"
COLUMNS = 80
SONG = '--artist orlavane --genre tidedub --lyrics "Is anybody there?" --seconds 6'
COMMANDS = {
    "submit": f"jukebox submit {SONG} --takes 3 --stop-after top -o drafts/",
    "continue": "jukebox continue $(cat last) --sample 1 --seconds 4 -o song.wav",
    "list": "jukebox list",
    "tree": "jukebox tree $(cat last)",
}
_NEWEST = "jukebox list --json 2>/dev/null | grep -o 'job_[0-9a-f]*' | head -1 > last"
# No page may ask a server of somebody else for a font.
_SVG = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> None:
    """Make every picture anew."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = StackSettings(
            data_dir=Path(folder, "data"),
            models_dir=Path(folder, "models"),
            port=free_port(),
            isolated=True,
        )
        with running_stack(settings, StopSignals()) as stack:
            environment = {
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "JUKEBOX_URL": stack.url,
                "COLUMNS": str(COLUMNS),
                "TERM": "xterm-256color",
            }
            for name, command in COMMANDS.items():
                shown = _in_a_terminal(command, folder, environment)
                _write_svg(FOLDER / f"{name}.svg", command, shown)
                subprocess.run(_NEWEST, shell=True, cwd=folder, env=environment, check=True)
            write_spectrogram(FOLDER / "song.png", *read_mono(Path(folder, "song.wav")))


def _in_a_terminal(command: str, folder: str, environment: dict[str, str]) -> str:
    """Everything that the command writes to a terminal."""
    output, end = pty.openpty()
    with subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=end, stdout=end, stderr=end
    ) as process:
        os.close(end)
        parts = []
        try:
            while part := os.read(output, 65_536):
                parts.append(part)
        except OSError:
            pass  # Linux says so when the last process has closed the terminal.
        if process.wait() != 0:
            raise SystemExit(f"{command} failed:\n{b''.join(parts).decode()}")
    os.close(output)
    return b"".join(parts).decode()


def _write_svg(path: Path, command: str, shown: str) -> None:
    """The last state of the terminal: what progress displays wrote over is left out."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text.from_ansi(_final(shown)))
    console.save_svg(str(path), title="jukebox", code_format=_SVG)


def _final(shown: str) -> str:
    lines: list[str] = []
    at = 0
    for part in re.split(r"(\x1b\[\d*A|\x1b\[2K|\r\n|\r|\n)", shown):
        up = re.fullmatch(r"\x1b\[(\d*)A", part)
        if up:
            at = max(0, at - int(up[1] or 1))
        elif part in ("\r\n", "\n"):
            at += 1
        elif part == "\x1b[2K" and at < len(lines):
            lines[at] = ""
        elif part not in ("\r", "\x1b[2K"):
            lines += [""] * (at + 1 - len(lines))
            lines[at] += part
    return re.sub(r"\x1b\[\?\d+[hl]", "", "\n".join(lines))


if __name__ == "__main__":
    main()

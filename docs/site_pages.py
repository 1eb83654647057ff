"""Builds a site of the documentation with Zensical, which any web server can serve. Usage: make site

The pages are those of docs/. What they link to outside of it (the README, source files, examples) is shown on pages
too, so that no link of the site needs a network. A link that leads nowhere stops the build.
"""

import argparse
import json
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", flags=re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml"}
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def pages() -> dict[str, str | Path]:
    """The site's Markdown by its path, and the files that are copied as they are."""
    made: dict[str, str | Path] = {"site/extra.css": DOCS / "site" / "extra.css"}
    made |= {path.relative_to(DOCS).as_posix(): path for path in (DOCS / "screenshots").glob("*.*")}
    waiting = [path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md")]
    while waiting:
        source = waiting.pop()
        if place(source) in made:
            continue
        text, links = page(source)
        made[place(source)] = text
        waiting += links
    return made


def place(source: str) -> str:
    """Where the site has a file of the repository, or a folder."""
    path = PurePosixPath(source)
    if path.parts[0] == "docs":
        return path.relative_to("docs").as_posix()
    if path.suffix == ".md" and len(path.parts) == 1:
        return f"project/{path.stem.lower()}.md"
    seen = "/".join(part.lstrip(".") for part in path.parts)  # names that begin with a dot are no pages to Zensical
    return f"files/{seen}/README.md" if (ROOT / source).is_dir() else f"files/{seen}.md"


def page(source: str) -> tuple[str, list[str]]:
    """A page of the site, and the files of the repository that it links to.

    Raises:
        SystemExit: a link leads to no file.
    """
    path = ROOT / source
    if path.suffix == ".md":
        text = path.read_text(encoding="utf-8")
    elif path.is_dir():
        text = listing(path)
    else:
        return shown(path), []
    found: list[str] = []

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(source if path.is_dir() else posixpath.dirname(source), link[1]))
        if target.startswith("..") or not (ROOT / target).exists():
            raise SystemExit(f"{source}: the link {link[1]!r} leads to no file")
        if not target.startswith("docs/screenshots/"):
            found.append(target)
        return posixpath.relpath(place(target), posixpath.dirname(place(source))) + (link[2] or "")

    made = ""
    for i, part in enumerate(CODE.split(text)):
        if i % 2 == 0:
            part = LINK.sub(moved, part)
        elif made.rpartition("\n")[2].startswith("|"):  # code in a table, where code hosts want a bar escaped
            part = part.replace("\\|", "|")
        made += part
    return made, found


def shown(path: Path) -> str:
    """A file as a page."""
    text = path.read_text(encoding="utf-8")
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    title = path.relative_to(ROOT).as_posix()
    return f"{UNSEARCHED}# {title}\n\n{ticks}{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n{ticks}\n"


def listing(path: Path) -> str:
    """A folder as a page: its files as links, its folders by name."""
    lines = [f"{UNSEARCHED}# {path.relative_to(ROOT).as_posix()}", ""]
    for one in sorted(path.iterdir()):
        if one.is_file():
            lines.append(f"- [{one.name}]({one.name})")
        elif not one.name.startswith(("__", ".")):
            lines.append(f"- {one.name}/")
    return "\n".join(lines) + "\n"


def order() -> list[Any]:
    """The pages in the order in which the site lists them: that of docs/README.md and of the indexes that it names."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    first, *sections = re.split(r"^## (.+)\n", index, flags=re.MULTILINE)
    parts = dict(zip(sections[::2], sections[1::2], strict=True))
    project = {
        "Project": [{name.capitalize(): f"project/{name}.md"} for name in ("readme", "changelog", "contributing")]
    }
    reference = ["reference/README.md", *listed_in("reference"), rules()]
    formats = {"Formats": ["formats/README.md", *listed_in("formats")]}
    return [
        {"qwen-sft": "README.md"},
        *listed(first),
        {"Guides": listed(parts["Guides"])},
        {"Reference": [*reference, formats]},
        project,
    ]


def listed(text: str) -> list[dict[str, str]]:
    """The pages of a list of links, with their titles."""
    return [{title: link} for title, link in re.findall(r"^- \[(.+?)\]\(([\w/.]+\.md)\)", text, flags=re.MULTILINE)]


def listed_in(folder: str) -> list[dict[str, str]]:
    """The pages of a folder."""
    found = [path for path in sorted((DOCS / folder).glob("*.md")) if path.name != "README.md"]
    return [{title(path): f"{folder}/{path.name}"} for path in found]


def title(path: Path) -> str:
    """The first heading of a page."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def rules() -> dict[str, list[Any]]:
    """The rules' pages, by their letters."""
    groups: dict[str, list[Any]] = {}
    for one in listed_in("rules"):
        for name, path in one.items():
            groups.setdefault(name[:3], []).append({name: path})
    return {"Rules": ["rules/README.md", *({letters: own} for letters, own in groups.items())]}


def build(out: Path) -> None:
    """Builds the site into a folder, which is replaced.

    Raises:
        SystemExit: a link leads nowhere, or Zensical found another fault.
    """
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch).resolve()
        for name, content in pages().items():
            target = stage / "docs" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copy(content, target)
            else:
                target.write_text(content, encoding="utf-8")
        config = (DOCS / "site" / "zensical.toml").read_text(encoding="utf-8")
        config = config.replace("[project]\n", f"[project]\nnav = {inline(order())}\n", 1)
        (stage / "zensical.toml").write_text(config, encoding="utf-8")
        done = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=stage, text=True)
        if done.returncode:
            raise SystemExit(f"zensical found faults, as told above (exit code {done.returncode})")
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(stage / "site", out)


def inline(value: Any) -> str:
    """A value as TOML in one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {inline(part)}' for key, part in value.items())}}}"
    return json.dumps(value)


def main() -> None:
    """Builds the site where it is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="the folder to write; it is replaced")
    build(parser.parse_args().out)


if __name__ == "__main__":
    main()

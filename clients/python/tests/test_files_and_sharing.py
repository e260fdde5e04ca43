"""Files, share links, rights and the document, over HTTP."""

from __future__ import annotations

import io
import json
import os
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Callable, List

from support import GatewayCase, arguments

import cellgate


class FilesTest(GatewayCase):
    def setUp(self) -> None:
        self.s = self.session()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.here = Path(folder.name)

    def test_write_read_and_the_code_sees_it(self) -> None:
        self.s.files.write("données é.txt", "naïve 🦀")
        self.assertEqual(self.s.files.read_text("données é.txt"), "naïve 🦀")
        self.assertEqual(self.s.run("open('données é.txt', encoding='utf-8').read()").text, "'naïve 🦀'")
        self.s.files.write("bytes", io.BytesIO(b"\x00\xff"))
        self.assertEqual(self.s.files.read("bytes"), b"\x00\xff")
        self.s.run("open('made', 'w').write('by code')")
        self.assertEqual(self.s.files.read("made"), b"by code")

    def test_upload_and_download(self) -> None:
        content = os.urandom(3 << 20)
        (self.here / "large.bin").write_bytes(content)
        self.s.files.upload(self.here / "large.bin")
        self.s.files.upload(self.here / "large.bin", "other.bin")
        self.assertEqual(self.s.run("open('large.bin','rb').read() == open('other.bin','rb').read()").text, "True")
        target = self.s.files.download("other.bin", self.here / "back.bin")
        self.assertEqual(target.read_bytes(), content)
        self.assertEqual(self.s.files.download("large.bin", self.here), self.here / "large.bin")
        with self.assertRaises(cellgate.RequestFailed):
            self.s.files.download("none", self.here / "none")
        self.assertEqual(sorted(path.name for path in self.here.iterdir()), ["back.bin", "large.bin"])

    def test_directories(self) -> None:
        files = self.s.files
        self.assertTrue(files.mkdir("a/b"))
        self.assertFalse(files.mkdir("a/b"))
        files.write("a/b/c.txt", "c")
        files.move("a/b/c.txt", "a/d.txt")
        self.assertEqual(
            [(f.name, f.kind, f.path) for f in files.list("a")],
            [("b", "directory", "a/b"), ("d.txt", "file", "a/d.txt")],
        )
        self.assertGreater(files.list("a")[1].modified, (time.time() - 600) * 1000)
        self.assertEqual(files.stat("a/d.txt"), files.list("a")[1])
        self.assertEqual((files.stat("a/d.txt").size, files.stat("a/d.txt").mode), (1, 0o644))
        self.assertEqual(files.stat("a/b").kind, "directory")
        with self.assertRaises(cellgate.RequestFailed) as caught:
            files.stat("a/none")
        self.assertEqual(caught.exception.status, 404)
        with self.assertRaises(cellgate.RequestFailed) as caught:
            files.remove("a")
        self.assertEqual(caught.exception.status, 409)
        files.remove("a", recursive=True)
        self.assertNotIn("a", [f.name for f in files.list()])
        with self.assertRaises(cellgate.RequestFailed) as caught:
            files.read("a/d.txt")
        self.assertEqual(caught.exception.status, 404)

    def test_what_happens_to_files_is_told(self) -> None:
        with self.s.files.watch(recursive=True) as watch:
            self.s.run("import os; os.mkdir('d'); open('f', 'w').write('text'); os.rename('f', 'g'); os.remove('g')")
            told = [next(watch) for _ in range(5)]
        self.assertEqual(list(watch), [])
        self.assertEqual(
            told,
            [
                cellgate.FileEvent("created", "d", "directory"),
                cellgate.FileEvent("created", "f", "file"),
                cellgate.FileEvent("written", "f", "file"),
                cellgate.FileEvent("renamed", "f", "file", to="g"),
                cellgate.FileEvent("removed", "g", "file"),
            ],
        )
        # It ends with its directory.
        inner = self.s.files.watch("d")
        self.s.files.remove("d")
        self.assertEqual(list(inner), [cellgate.FileEvent("removed", "d", "directory")])
        with self.assertRaises(cellgate.RequestFailed) as caught:
            self.s.files.watch("d")
        self.assertEqual(caught.exception.status, 404)

    def test_a_watch_is_closed_by_another_thread(self) -> None:
        watch = self.s.files.watch()
        told: List[cellgate.FileEvent] = []
        reader = threading.Thread(target=lambda: told.extend(watch))
        reader.start()
        watch.close()
        reader.join(60)
        self.assertFalse(reader.is_alive())
        self.assertEqual(told, [])

    def test_all_that_a_cell_wrote(self) -> None:
        limits = ["--output", "64KiB", "--output-kept", "8MiB"]
        with cellgate.Gateway([*arguments(), *limits]) as gateway, gateway.connect() as session:
            done = session.run("for i in range(20_000): print(f'{i:09}')")
            whole = "".join(f"{i:09}\n" for i in range(20_000)).encode()
            self.assertEqual(sum(one.omitted_bytes for one in done.truncated) + len(done.stdout), len(whole))
            self.assertEqual(session.output(done.id), whole)


class SharingTest(GatewayCase):
    def setUp(self) -> None:
        self.s = self.session(name="Ada")

    def guest(self, link: cellgate.ShareLink, name: str = "Grace") -> cellgate.Session:
        guest = cellgate.connect(link.url, name=name)
        self.addCleanup(guest.close)
        return guest

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits for what the gateway tells a moment later."""
        deadline = time.monotonic() + 10
        while not holds():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_roles(self) -> None:
        viewer = self.guest(self.s.sharing.create_link())
        self.assertEqual((viewer.id, viewer.role, viewer.may_run, viewer.may_edit), (self.s.id, "viewer", False, False))
        with self.assertRaises(cellgate.Refused) as caught:
            viewer.run("1")
        self.assertEqual(caught.exception.code, "forbidden")
        with self.assertRaises(cellgate.Refused):
            viewer.restart()
        with self.assertRaises(cellgate.Forbidden):
            viewer.files.list()
        editor = self.guest(self.s.sharing.create_link("editor"), "Edsger")
        self.assertEqual(editor.run("1 + 1").text, "2")
        self.until(lambda: [p.name for p in self.s.participants] == ["Ada", "Grace", "Edsger"])

    def test_a_guest_sees_what_others_run(self) -> None:
        viewer = self.guest(self.s.sharing.create_link())
        events = viewer.events()
        self.s.run("print('for all')", id="shown")
        text = ""
        for event in events:
            if isinstance(event, cellgate.Stdout):
                text += event.text
            if isinstance(event, cellgate.Done) and event.id == "shown":
                break
        self.assertEqual(text, "for all\n")
        events.close()

    def test_links_are_listed_expire_and_are_revoked(self) -> None:
        link = self.s.sharing.create_link("editor", expires_in=3600)
        self.assertNotIn(link.token, repr(link))
        self.assertAlmostEqual((link.expires or 0) / 1000, time.time() + 3600, delta=60)
        (listed,) = [token for token in self.s.sharing.tokens() if token.id == link.id]
        self.assertEqual((listed.role, listed.link, listed.expires), ("editor", True, link.expires))
        guest = self.guest(link)
        self.assertEqual(guest.run("1").text, "1")
        self.s.sharing.revoke(link.id)
        self.until(lambda: guest.closed is not None)
        self.assertIsInstance(guest.closed, cellgate.Unauthorised)
        with self.assertRaises(cellgate.Unauthorised):
            cellgate.connect(link.url)

    def test_rights_change_while_attached(self) -> None:
        link = self.s.sharing.create_link("editor", run=False)
        self.assertEqual((link.run, link.edit), (False, True))
        guest = self.guest(link)
        self.assertEqual((guest.may_run, guest.may_edit), (False, True))
        with self.assertRaises(cellgate.Refused):
            guest.run("1")
        other = self.guest(self.s.sharing.create_link("editor"))
        self.s.sharing.change_rights(other.participant, role="viewer")
        self.until(lambda: other.role == "viewer")
        with self.assertRaises(cellgate.Refused):
            other.run("1")
        self.s.sharing.remove_participant(other.participant)
        self.until(lambda: other.closed is not None)

    def test_document(self) -> None:
        self.assertFalse(self.s.has_document)
        cells = [{"id": "one", "source": "print('é')"}, {"id": "two", "kind": "markdown", "source": "# Two"}]
        self.assertTrue(self.s.document.fill(cells, title="Shared"))
        self.assertFalse(self.s.document.fill(cells))
        read = self.s.document.read()
        self.assertEqual(
            (read["title"], [cell["source"] for cell in read["cells"]]), ("Shared", ["print('é')", "# Two"])
        )
        self.s.run("print('é')", cell="one")
        notebook = json.loads(self.s.document.export())
        self.assertEqual("".join(notebook["cells"][0]["outputs"][0]["text"]), "é\n")
        self.assertIn(b"# %%", self.s.document.export("py"))
        self.until(lambda: self.s.has_document)


if __name__ == "__main__":
    unittest.main()

"""The runner's framing against the golden frames that the Rust side is checked against too."""

import json
import os
import unittest

from harness import ROOT, load_wire

with open(os.path.join(ROOT, "tests", "golden", "wire.json")) as file:
    # A runner is told no program.
    GOLDEN = [case for case in json.load(file) if "program" not in case]
WIRE = load_wire()


class Wire(unittest.TestCase):
    def test_frames_are_written_as_the_golden_file_says(self):
        for case in GOLDEN:
            with self.subTest(case["name"]):
                payload = bytes.fromhex(case["payload_hex"])
                written = WIRE.pack(case["kind"], case["flags"], case["cell"], payload)
                self.assertEqual(written.hex(), case["frame_hex"])

    def test_frames_are_read_whatever_the_pieces_they_come_in(self):
        stream = b"".join(bytes.fromhex(case["frame_hex"]) for case in GOLDEN)
        wanted = []
        joined = b""
        for case in GOLDEN:
            joined += bytes.fromhex(case["payload_hex"])
            if not case["flags"] & WIRE.MORE:
                wanted.append((case["kind"], case["flags"], case["cell"], joined))
                joined = b""
        for size in (1, 7, 12, 13, len(stream)):
            parser, seen = WIRE.Parser(), []
            for at in range(0, len(stream), size):
                seen += parser.feed(stream[at : at + size])
            self.assertEqual(seen, wanted)

    def test_long_messages_are_cut_and_joined_again(self):
        for length in (0, 1, 65535, 65536, 65537, 131072, 200_000):
            payload = os.urandom(length)
            stream = WIRE.message(WIRE.MESSAGE, WIRE.SYNC, 9, payload)
            self.assertEqual(
                WIRE.Parser().feed(stream), [(WIRE.MESSAGE, WIRE.SYNC, 9, payload)]
            )
            frames = -(-length // WIRE.MAX_PAYLOAD) or 1
            self.assertEqual(len(stream), length + frames * WIRE.HEADER_BYTES)

    def test_what_no_honest_end_writes_is_refused(self):
        for bad in (
            "01000100820000000000000000",
            "000000008280000000000000",
            "000000008200010000000000",
        ):
            with self.assertRaises(WIRE.WireError):
                WIRE.Parser().feed(bytes.fromhex(bad))

    def test_json_says_what_the_standard_library_says(self):
        for value in (
            None,
            True,
            1,
            -2.5,
            1e300,
            'é\n"\\\x00\u2028😀',
            [],
            {},
            {"a": [1, {"b": None}]},
            [[[]]],
        ):
            self.assertEqual(json.loads(WIRE.dumps(value)), value)
            self.assertEqual(WIRE.loads(json.dumps(value).encode()), value)
        self.assertEqual(json.loads(WIRE.dumps("a\ud800b")), "a\ufffdb")


if __name__ == "__main__":
    unittest.main()

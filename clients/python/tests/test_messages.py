"""The types of this package against the examples that the gateway and its other clients are tested with."""

from __future__ import annotations

import dataclasses
import json
import unittest
from pathlib import Path
from typing import Any, Dict

from cellgate import CellEvent, Event, Execution, ExecutionFailed
from cellgate.errors import is_final, of_close
from cellgate.execution import ExecutionBuilder
from cellgate.messages import (
    ClearOutput,
    Display,
    Done,
    ErrorEvent,
    ResultEvent,
    Stderr,
    Stdout,
    event_of,
    gap_of,
    participant_of,
)

GOLDEN = Path(__file__).resolve().parents[3] / "tests" / "golden" / "protocol"


class MessagesTest(unittest.TestCase):
    def test_every_event_of_the_gateway_has_a_type_with_all_its_fields(self) -> None:
        seen = 0
        for path in sorted(GOLDEN.glob("*.json")):
            example = json.loads(path.read_text())
            if example["from"] != "gateway" or "seq" not in example["full"] or example["full"]["type"] == "ready":
                continue
            seen += 1
            for message in (example["full"], example["minimal"]):
                with self.subTest(path=path.name):
                    event = event_of(message)
                    self.assertIsNot(type(event), Event)
                    told = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
                    self.assertEqual({name: told[name] for name in message}, message)
        self.assertGreaterEqual(seen, 18)

    def test_an_event_of_a_newer_gateway_is_kept(self) -> None:
        message = {"type": "hologram", "seq": 1, "ts": 2, "depth": 3}
        event = event_of(message)
        self.assertEqual((event.type, event.raw["depth"]), ("hologram", 3))
        newer = event_of({"type": "stdout", "seq": 1, "ts": 2, "id": "a", "text": "t", "colour": "red"})
        self.assertEqual(newer.raw["colour"], "red")

    def test_gaps_and_participants(self) -> None:
        gap = gap_of(json.loads((GOLDEN / "gap.json").read_text())["full"])
        self.assertLessEqual(gap.seq, gap.to)
        for entry in json.loads((GOLDEN / "participants.json").read_text())["full"]["list"]:
            participant = participant_of(entry)
            self.assertEqual((participant.id, participant.name), (entry["id"], entry["name"]))
            self.assertEqual(participant.run, entry.get("run", True))

    def test_each_close_code_of_the_protocol_says_what_to_do(self) -> None:
        for code in (1000, 1001, 1002, 1007, 1009, 1011, 1013, 4401, 4403, 4404, 4408, 4409, 4413, 4429):
            self.assertIn("the reason (", str(of_close(code, "the reason")))
        self.assertEqual([code for code in (1001, 1006, 1011, 1013, 4413, 4429) if is_final(code)], [])
        self.assertTrue(all(is_final(code) for code in (1000, 4401, 4404, 4408, 4409)))


#: What the events of one cell have in common.
COMMON: Dict[str, Any] = {"seq": 1, "ts": 1, "raw": {}, "id": "a"}


class BuilderTest(unittest.TestCase):
    def test_what_was_shown_is_replaced_and_cleared(self) -> None:
        builder = ExecutionBuilder("a")
        common = {"seq": 1, "ts": 1, "raw": {}, "id": "a"}
        builder.take(Display(type="display", **common, data={"text/plain": "1"}, display_id="d"))
        builder.take(Display(type="display", **common, data={"text/plain": "2"}, display_id="d", update=True))
        builder.take(ClearOutput(type="clear_output", **common, wait=True))
        builder.take(ResultEvent(type="result", **common, data={"text/plain": ["3", "4"]}))
        done = builder.take(Done(type="done", **common, status="ok"))
        assert done is not None
        self.assertEqual([result.text for result in done.results], ["34"])

    def test_a_cell_that_is_lost_is_no_success(self) -> None:
        lost = ExecutionBuilder("a").lost("it is gone")
        with self.assertRaisesRegex(ExecutionFailed, "it is gone"):
            lost.raise_for_error()


class ForModelTest(unittest.TestCase):
    def executed(self, done: Dict[str, Any], *events: CellEvent) -> Execution:
        builder = ExecutionBuilder("a")
        for event in events:
            builder.take(event)
        execution = builder.take(Done(type="done", **COMMON, **{"state_kept": True, **done}))
        assert execution is not None
        return execution

    def test_output_values_and_errors_are_told_without_colours(self) -> None:
        execution = self.executed(
            {"status": "error"},
            Stdout(type="stdout", **COMMON, text="\x1b[1;31mred\x1b[0m\n"),
            Stderr(type="stderr", **COMMON, text="\x1b]8;;http://a\x1b\\link\x1b]8;;\x07"),
            Display(type="display", **COMMON, data={"image/png": "AA==", "text/plain": "<Figure>"}),
            ResultEvent(type="result", **COMMON, data={"text/plain": "42"}),
            ErrorEvent(type="error", **COMMON, name="E", value="v", traceback=["\x1b[31mE\x1b[39m: v"]),
        )
        self.assertEqual(execution.for_model(), "red\nlink\n[a picture: image/png]\n42\nE: v")

    def test_an_end_that_is_no_error_is_told(self) -> None:
        told = self.executed({"status": "oom", "detail": "took 2 GiB", "state_kept": False}).for_model()
        self.assertIn("[the cell ended as oom: took 2 GiB]", told)
        self.assertIn("started anew", told)
        self.assertEqual(self.executed({"status": "ok"}).for_model(), "[no output]")

    def test_beginning_and_end_of_long_output_are_kept(self) -> None:
        text = "".join(f"{number}\n" for number in range(100_000))
        told = self.executed({"status": "ok"}, Stdout(type="stdout", **COMMON, text=text)).for_model(1000)
        self.assertLess(len(told), 1100)
        self.assertTrue(told.startswith("0\n1\n") and told.endswith("99998\n99999"))
        missing = len(text.rstrip()) - 1000
        self.assertIn(f"[… {missing} characters are left out …]", told)


if __name__ == "__main__":
    unittest.main()

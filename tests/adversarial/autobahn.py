"""Runs cases of the Autobahn TestSuite, by kosoku, against a gateway; prints a line of JSON for each.

Autobahn tests servers that echo. A gateway answers a text that is no JSON, and any binary message, with one
`protocol_error`: that is what is awaited here in the place of each echo, in the same order among pongs. What the
session says to everybody is passed over.
"""

import asyncio
import json
import os
import sys

import kosoku
import kosoku.cases  # makes `case` importable
from case import Case


def on_message(case, message, binary):
    event = json.loads(message)
    if event["type"] == "protocol_error":
        case.received.append(("refused", event["code"]))
        case.finishWhenDone()


def compare(case, received, expected):
    def answer(event):
        if event[0] != "message":
            return event
        _, text, binary = event
        return ("refused", "bad_message" if binary or is_json(text) else "bad_json")

    return received == [answer(event) for event in expected]


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


async def main(url, *cases):
    Case.onMessage, Case.compare = on_message, compare
    try:
        results = await kosoku.run_fuzzingclient(url, list(cases), concurrency=8)
    except kosoku.FailureError as failure:
        results = failure.results
    for result in results:
        told = {
            "case": result.case_id,
            "behavior": result.behavior.value,
            "close": result.behavior_close.value,
            "passed": result.passed,
            "why": f"{result.result} {result.result_close} {result.remote_close_reason} {result.received}",
        }
        print(json.dumps(told))


asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
# Threads of kosoku abort the process when the interpreter is taken from under them.
os._exit(0)

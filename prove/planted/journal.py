"""Bugs in the journal. Promise 14, and what the security page says."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["JOURNAL"]

_COPIES = "src/krakenonce/journal/copies.py"
_EVENTS = "tests/integration/journal/test_events.py::"
_PROCESSES = "tests/integration/journal/test_processes.py::"

JOURNAL = (
    Planted(
        "a guarded client's order that was lost is not noted",
        14,
        "src/krakenonce/guards/turns.py",
        was="        if answered is False or (was_sent and error is not None and answered is None):\n",
        becomes="        if answered is False:\n",
        test=f"{_EVENTS}test_a_guarded_client_s_lost_order_is_in_the_journal",
    ),
    Planted(
        "an order that a guarded client could not send is noted as unknown",
        14,
        "src/krakenonce/guards/lost.py",
        was="is not Kind.READ and not (error and _was_not_executed(error)):",
        becomes="is not Kind.READ:",
        test=f"{_EVENTS}test_a_guarded_client_s_order_of_which_it_knows_that_it_was_not_placed_is_not_unknown",
    ),
    Planted(
        "a guarded client's refused order is noted as unknown, too",
        14,
        "src/krakenonce/guards/turns.py",
        was='        api_key.answered = refusal is None or refusal.may_have_executed != "unknown"\n',
        becomes="        api_key.answered = False\n",
        test=f"{_EVENTS}test_a_guarded_client_s_order_of_which_it_knows_that_it_was_not_placed_is_not_unknown",
    ),
    Planted(
        "a turn of several keys that took long is not noted",
        14,
        "src/krakenonce/key/any_lane.py",
        was="                note_long(self._note, queue.name, seconds)\n",
        becomes="",
        test=f"{_EVENTS}test_a_turn_of_several_keys_that_takes_long_is_noted",
    ),
    Planted(
        "a line of the journal that was torn by a kill is not skipped",
        14,
        "src/krakenonce/journal/event.py",
        was="    except (StopIteration, ValueError, TypeError,",
        becomes="    except (TypeError,",
        test="tests/unit/journal/test_event.py::test_what_is_no_line_of_ours_is_skipped",
    ),
    Planted(
        "who notes an event waits for the server on which hosts share a state",
        14,
        _COPIES,
        was="            start_new_thread(self._write, (records,))\n",
        becomes="            self._write(records)\n",
        test="tests/unit/journal/test_copies.py::test_who_notes_an_event_does_not_wait_for_the_server",
        hangs=40.0,
    ),
    Planted(
        "a line is not copied if another process of the host copies one at the same time",
        14,
        _COPIES,
        was="            continue\n",
        becomes="            return None\n",
        test="tests/unit/journal/test_copies.py::test_two_processes_of_a_host_lose_no_line",
    ),
    Planted(
        "the line after a torn one is lost with it",
        14,
        "src/krakenonce/journal/file.py",
        was='        lines = b"\\n" + lines\n',
        becomes="        pass\n",
        test=f"{_PROCESSES}test_a_line_after_a_torn_one_is_whole",
    ),
    Planted(
        "the count of events that were not written one by one is lost at the end",
        14,
        "src/krakenonce/journal/recorder.py",
        was="atexit.register(_end_all)\n",
        becomes="",
        test=f"{_PROCESSES}test_eight_processes_lose_no_refusal",
    ),
    Planted(
        "what was counted in a minute is lost when the next one begins",
        14,
        "src/krakenonce/journal/aggregate.py",
        was="            rests.append(self._end(kind))\n",
        becomes="            self._end(kind)\n",
        test="tests/unit/journal/test_aggregate.py::test_what_is_told_and_what_is_counted_add_up",
    ),
    Planted(
        "the journal has the API key that Kraken quotes",
        "security",
        "src/krakenonce/key/api_key.py",
        was='str(more["text"]).replace(self.key, "(key)")',
        becomes='str(more["text"])',
        test=f"{_EVENTS}test_no_key_and_no_secret_is_in_the_journal",
    ),
    Planted(
        "a journal that cannot be written stops the call",
        14,
        "src/krakenonce/journal/recorder.py",
        was='        except Exception:\n            logger.exception("an event could not be noted',
        becomes='        except MemoryError:\n            logger.exception("an event could not be noted',
        test=f"{_EVENTS}test_an_error_that_nobody_expects_stops_no_call",
    ),
    Planted(
        "a journal on a full disk takes the place of Kraken's answer",
        14,
        "src/krakenonce/journal/recorder.py",
        was="        except (OSError, KrakenonceError) as error:\n",
        becomes="        except KeyError as error:\n",
        test=f"{_EVENTS}test_an_error_of_a_journal_is_no_error_of_a_call",
    ),
    Planted(
        "a full disk is told with each event",
        14,
        "src/krakenonce/journal/recorder.py",
        was="            if not self._has_failed:\n",
        becomes="            if self is not None:\n",
        test=f"{_EVENTS}test_an_error_of_a_journal_is_no_error_of_a_call",
    ),
    Planted(
        "the refusals of guarded clients are not in the journal",
        14,
        "src/krakenonce/guards/krakenex.py",
        was="        turns.heard(client.key, answer)\n",
        becomes="",
        test=f"{_EVENTS}test_a_guarded_client_s_refusal_is_in_the_journal",
    ),
    Planted(
        "only an Invalid nonce is in the journal",
        14,
        "src/krakenonce/key/api_key.py",
        was="        self._note_refusal(place, refusal)\n",
        becomes="        if isinstance(refusal, InvalidNonce):\n            self._note_refusal(place, refusal)\n",
        test=f"{_EVENTS}test_each_refusal_is_in_the_journal",
    ),
    Planted(
        "what the gateway does not know of an order is not in the journal",
        14,
        "src/krakenonce/gateway/fence.py",
        was="        finding_out.note_if_unknown(sending)\n",
        becomes="",
        test=f"{_EVENTS}test_the_gateway_notes_an_unknown_outcome_and_what_became_of_it",
    ),
    Planted(
        "two processes that begin a new file at the same time drop a whole one",
        14,
        "src/krakenonce/journal/file.py",
        was="                if _is_at(fd, self._path):\n                    os.rename(",
        becomes="                if True:\n                    os.rename(",
        test=f"{_PROCESSES}test_a_new_file_is_begun_once",
    ),
    Planted(
        "a call that goes well loads the journal",
        14,
        "src/krakenonce/key/api_key.py",
        was="        nonce = self._manager.next_for(",
        becomes='        self.note("ok")\n        nonce = self._manager.next_for(',
        test=f"{_EVENTS}test_a_call_that_goes_well_writes_nothing",
    ),
)

"""What every store of kept answers promises. Subclass and give the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from resources.errors import ConflictError
from resources.idempotency.store import CLAIM_HOLDS, KEPT, Answer, Key

if TYPE_CHECKING:
    from resources.idempotency.store import Answers

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANSWER = Answer(201, {"content-type": "application/json"}, b'{"a": "\x00"}')


class AnswersContract:
    @pytest.fixture
    def answers(self) -> Answers:
        raise NotImplementedError

    @pytest.fixture
    def key(self, tenant: str) -> Key:
        return Key(tenant, "ada", "k-1")

    def test_the_same_request_gets_the_same_answer(self, answers: Answers, key: Key) -> None:
        assert answers.claim(key, b"r", now=NOW) is None
        answers.settle(key, ANSWER)
        assert answers.claim(key, b"r", now=NOW + KEPT) == ANSWER

    def test_a_key_is_for_one_request(self, answers: Answers, key: Key) -> None:
        answers.claim(key, b"r", now=NOW)
        answers.settle(key, ANSWER)
        with pytest.raises(ConflictError) as refused:
            answers.claim(key, b"other", now=NOW)
        assert refused.value.code == "idempotency_key_reused"

    def test_what_is_being_worked_on_is_not_begun_again(self, answers: Answers, key: Key) -> None:
        answers.claim(key, b"r", now=NOW)
        with pytest.raises(ConflictError) as refused:
            answers.claim(key, b"r", now=NOW + CLAIM_HOLDS)
        assert (refused.value.code, refused.value.retryable) == ("request_in_progress", True)

    def test_the_claim_of_who_died_ends(self, answers: Answers, key: Key) -> None:
        answers.claim(key, b"r", now=NOW)
        assert answers.claim(key, b"r", now=NOW + CLAIM_HOLDS + SECOND) is None

    def test_what_was_released_may_be_sent_again(self, answers: Answers, key: Key) -> None:
        answers.claim(key, b"r", now=NOW)
        answers.release(key)
        assert answers.claim(key, b"other", now=NOW) is None

    def test_keys_of_others_are_others(self, answers: Answers, key: Key) -> None:
        answers.claim(key, b"r", now=NOW)
        answers.settle(key, ANSWER)
        assert answers.claim(Key(key.tenant, "bob", key.key), b"r", now=NOW) is None
        assert answers.claim(Key(f"{key.tenant}-other", "ada", key.key), b"r", now=NOW) is None

    def test_after_a_day_it_is_forgotten(self, answers: Answers, key: Key) -> None:
        old = datetime(2001, 1, 1, tzinfo=UTC)
        answers.claim(key, b"r", now=old)
        answers.settle(key, ANSWER)
        assert answers.forget(now=old + KEPT + SECOND) == 1
        assert answers.claim(key, b"other", now=old) is None

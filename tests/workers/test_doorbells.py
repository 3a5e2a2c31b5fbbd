"""What a doorbell says, who is believed, and what the settings say of the broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as NobodyThere

from clockmill.errors import ConfigError
from clockmill.executors.celery.app import make_app
from clockmill.executors.celery.doorbell import BrokerOptions, is_genuine, sign
from clockmill.executors.setup import ExecutorSetup

KEY = b"a key that all machines have"


def options(tmp_path: Path, **told: Any) -> BrokerOptions:
    setup = ExecutorSetup(
        name="fast",
        home=tmp_path,
        run_folder=tmp_path,
        slots=1,
        gateway="",
        gateway_spec={},
        key=KEY,
        options=told,
    )
    return BrokerOptions.of(setup)


def test_a_doorbell_is_believed_when_it_is_signed_with_the_same_key_and_says_the_same() -> None:
    bell = sign(KEY, "a1", "t1")
    assert is_genuine(KEY, bell)
    assert not is_genuine(b"another key", bell)
    for name in ("attempt_id", "token", "signature"):
        assert not is_genuine(KEY, bell | {name: "x"})
        assert not is_genuine(KEY, bell | {name: "\ud800"})
        assert not is_genuine(KEY, bell | {name: 1})
        assert not is_genuine(KEY, {key: value for key, value in bell.items() if key != name})
    # What belongs together cannot be cut elsewhere.
    assert not is_genuine(KEY, bell | {"attempt_id": "a1\nt", "token": "1"})
    for nothing in (None, [], "bell", {}):
        assert not is_genuine(KEY, nothing)


def test_the_message_holds_nothing_but_the_attempt_and_its_token() -> None:
    assert sign(KEY, "a1", "t1").keys() == {"attempt_id", "token", "signature"}


def test_an_executor_has_queues_of_its_own(tmp_path: Path) -> None:
    assert options(tmp_path).queue("default") == "clockmill.fast.default"
    assert options(tmp_path, queue_prefix="other").queue("gpu") == "other.fast.gpu"


def test_higher_priorities_come_first_in_either_broker(tmp_path: Path) -> None:
    rabbit = options(tmp_path, broker_url="amqp://guest@localhost//")
    redis = options(tmp_path, broker_url="redis://localhost/0")
    priorities = [-5, 0, 1, 2, 4, 100, 255, 256, 10**9]
    assert [rabbit.priority(each) for each in priorities] == [0, 0, 1, 2, 3, 7, 8, 9, 9]
    assert [redis.priority(each) for each in priorities] == [9, 9, 8, 7, 6, 2, 1, 0, 0]  # where 0 is served first


@pytest.mark.parametrize("told", ["[]", "{", '"text"'])
def test_transport_options_that_are_no_object_are_refused(tmp_path: Path, told: str) -> None:
    with pytest.raises(ConfigError, match="transport_options must be a JSON object"):
        options(tmp_path, transport_options=told)


def test_an_option_that_is_misspelt_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[executor.fast\] has no option 'brokr_url'. Did you mean 'broker_url'?"):
        options(tmp_path, brokr_url="redis://localhost")


@pytest.mark.parametrize(
    ("transport", "told"),
    [
        ("{}", r'\[executor.fast\] transport_options must name .* \{"master_name": "mymaster"\}\.$'),
        ('{"master_name": 7}', "must name what the sentinels"),
        ('{"master_name": "m", "sentinel_kwargs": "secret"}', "sentinel_kwargs must be an object"),
    ],
)
def test_sentinels_have_to_be_told_what_to_look_for(tmp_path: Path, transport: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        options(tmp_path, broker_url="sentinel://one:26379;sentinel://two:26379", transport_options=transport)


def test_a_sentinel_that_does_not_answer_is_asked_once_and_its_password_is_kept(tmp_path: Path) -> None:
    transport = '{"master_name": "m", "sentinel_kwargs": {"password": "secret", "socket_timeout": 3}}'
    made = make_app(options(tmp_path, broker_url="sentinel://one:26379", transport_options=transport))
    asked = made.conf.broker_transport_options["sentinel_kwargs"]
    assert (asked["password"], asked["socket_timeout"], asked["socket_connect_timeout"]) == ("secret", 3, 1)
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise NobodyThere("at one:26379")

    with pytest.raises(NobodyThere):
        asked["retry"].call_with_retry(fail, lambda error: None)
    assert len(tries) == 1
    assert "sentinel_kwargs" not in make_app(options(tmp_path)).conf.broker_transport_options


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("reds://:secret@host/0", r"broker_url begins with 'reds://', but must be like redis://.* mean 'redis'\?$"),
        ("redis://host/0;host2:6379", "broker_url has no '://'"),
        ("", "broker_url has no '://'"),
        ("redis://:secret@host:65536/0", "broker_url has a port that is no number up to 65535"),
        ("redis://:sec/secret@host:6379/0", "write a '/' in a password as %2F"),
    ],
)
def test_a_broker_of_no_known_kind_is_refused_without_telling_its_password(tmp_path: Path, url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        options(tmp_path, broker_url=url)
    assert "secret" not in str(refused.value)


def test_of_several_brokers_each_has_its_turn(tmp_path: Path) -> None:
    several = options(tmp_path, broker_url="amqp://a//;amqp://b//;amqp://c//")
    turns = [several.turned(times).url for times in range(4)]
    assert [url.partition(";")[0] for url in turns] == ["amqp://a//", "amqp://b//", "amqp://c//", "amqp://a//"]
    assert {len(url.split(";")) for url in turns} == {3}

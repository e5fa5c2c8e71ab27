"""What ``flask doctor`` finds, without the command line around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from pydantic import ValidationError

from tests.support.dns_server import DnsServer
from webapp import gateway_of
from webapp.doctor import examine
from webapp.settings import Settings


def test_it_tests_each_blocklist(make_app: Callable[..., Flask]) -> None:
    with DnsServer() as dns:
        dns.records["2.0.0.127.good.test", "A"] = ["127.0.0.2"]
        gateway = gateway_of(make_app(dns=dns.address, rbl_zones="good.test, Empty.test."))
        found = {finding.part: finding for finding in examine(gateway)}
    assert found["blocklist good.test"].state == "ok"
    assert found["blocklist empty.test"].state == "warning"
    assert "127.0.0.2 is not listed" in found["blocklist empty.test"].text


def test_a_zone_that_is_no_name_stops_the_start() -> None:
    with pytest.raises(ValidationError, match="must be a blocklist's domain name"):
        Settings(_env_file=None, rbl_zones="good.test,nonsense")

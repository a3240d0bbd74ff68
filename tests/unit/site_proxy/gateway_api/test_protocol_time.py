"""The end of a certificate, read as OpenSSL prints it."""

import datetime as dt
import ssl

from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.api.gateway.protocol import openssl_time

MOMENTS = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(9999, 12, 31))  # noqa: DTZ001 - in UTC


@given(MOMENTS)
def test_as_the_standard_library_reads_it(moment: dt.datetime) -> None:
    """Any moment, days of one digit included, is what `ssl.cert_time_to_seconds` makes of it."""
    told = f"{moment:%b} {moment.day:2} {moment:%H:%M:%S} {moment.year:04} GMT"
    assert openssl_time(told).timestamp() == ssl.cert_time_to_seconds(told)

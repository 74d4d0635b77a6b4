from jukebox_client.events import EventParser, ServerEvent


def parse_events(lines):
    parser = EventParser()
    return [event for line in lines if (event := parser.feed(line)) is not None]


def test_events_come_with_kind_data_and_the_last_id():
    lines = ["id: 1-0", "event: status", 'data: {"a": 1}', "", "event: progress", "data: 2", ""]
    assert parse_events(lines) == [
        ServerEvent("status", '{"a": 1}', "1-0"),
        ServerEvent("progress", "2", "1-0"),
    ]


def test_data_of_several_lines_is_joined():
    assert [event.data for event in parse_events(["data: a", "data:b", ""])] == ["a\nb"]


def test_pings_and_events_without_data_are_passed_over():
    assert parse_events([": ping", "", "event: status", "", "retry: 10", ""]) == []


def test_an_event_that_the_end_of_the_stream_cut_short_is_dropped():
    assert parse_events(["event: status", "data: 1"]) == []

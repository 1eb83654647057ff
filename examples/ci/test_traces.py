# Copy to tests/test_traces.py: pytest fails where a trace is bad. Installing qwen-sft brings the fixture along.


def test_traces_can_be_trained_on(assert_valid_dataset):
    report = assert_valid_dataset("traces", model="qwen3", fail_on="warning")
    assert report.totals.n_records >= 3

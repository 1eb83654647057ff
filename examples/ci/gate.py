"""The first lines of a training script: stop before a bad trace is trained on. Usage: python gate.py TRACES [MODEL]"""

import sys

import qwen_sft


def main() -> None:
    traces, *model = sys.argv[1:]
    report = qwen_sft.validate(traces, model=model[0] if model else None)
    if not report.ok:
        print(report.text(max_findings=20, worst_first=True), file=sys.stderr)
        raise SystemExit(report.exit_code)
    print(f"{report.totals.n_records} records may be trained on, {sum(report.counts.values())} findings below an error")


if __name__ == "__main__":
    main()

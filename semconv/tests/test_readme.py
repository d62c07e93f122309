"""The examples of the README run."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_examples(tmp_path, monkeypatch, capsys):
    (tmp_path / "shop.yaml").write_text(re.search(r"```yaml[^\n]*\n(.*?)```", README, re.DOTALL)[1])
    monkeypatch.chdir(tmp_path)
    scope = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(code, scope)
    assert capsys.readouterr().out.startswith("APPROVE\n['flowstone.approval_id', 'flowstone.checkpoint', ")
    assert scope["catalogue"].events["shop.order.placed"].audit is not None
    assert scope["catalogue"].metrics["shop.orders"].series == "shop_orders_total"

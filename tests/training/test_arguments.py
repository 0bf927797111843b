import pytest

from infinitedance.training.arguments import LoopArguments, parse_arguments


def parse(tmp_path, recipe: str, *options: str) -> LoopArguments:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe)
    return parse_arguments((LoopArguments,), ["--config", str(path), *options])[0]


def test_the_command_line_wins_over_the_recipe_and_the_recipe_over_the_defaults(tmp_path):
    arguments = parse(tmp_path, "output_dir: run\nmax_steps: 5\nseed: 3\n", "--seed", "4")
    assert (arguments.output_dir, arguments.max_steps, arguments.seed) == ("run", 5, 4)
    assert arguments.log_steps == LoopArguments("run").log_steps


def test_an_option_without_default_must_come_from_somewhere(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse(tmp_path, "max_steps: 5\n")
    assert "--output_dir" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("output_dir: run\nmax_step: 5\n", "unknown option max_step"),
        ("- 1\n- 2\n", "must hold a mapping, `name: value`, got list"),
        ("output_dir: [run\n", "recipe.yaml cannot be read: while parsing"),
        ("output_dir: run\nmax_steps: 0\n", "`max_steps` must be at least 1, got 0"),
        ("output_dir: run\nmax_minutes: -1\n", "`max_minutes` must be positive"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path, recipe, message):
    with pytest.raises(ValueError, match=message):
        parse(tmp_path, recipe)


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file .*missing.yaml"):
        parse_arguments((LoopArguments,), ["--config", str(tmp_path / "missing.yaml")])

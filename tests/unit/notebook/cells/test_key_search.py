"""Which cells have a key in them."""

from __future__ import annotations

import threading

import pytest

from nbretry.notebook.cells.key_search import keys_in

WITHIN = 30.0
"""Seconds; it takes a small part of that on an idle machine."""


@pytest.mark.parametrize(
    ("cell", "name", "key"),
    [
        ('os.environ["OPENAI_API_KEY"] = "abcd1234efgh"', "OPENAI_API_KEY", "abcd1234efgh"),
        ("os.environ['OPENAI_API_KEY']='abcd1234efgh'; x = 1", "OPENAI_API_KEY", "abcd1234efgh"),
        ("OPENAI_API_KEY = 'abcd1234efgh'  # mine", "OPENAI_API_KEY", "abcd1234efgh"),
        ('OPENAI_API_KEY: str = "abcd1234efgh"', "OPENAI_API_KEY", "abcd1234efgh"),
        ('openai.api_key = r"abcd1234efgh"', "api_key", "abcd1234efgh"),
        ('p = OpenAIProvider("http://x/v1", api_key="""abcd1234efgh""")', "api_key", "abcd1234efgh"),
        ('f(\n    api_key = "abcd1234efgh",\n)', "api_key", "abcd1234efgh"),
        ('headers = {"api_key": "abcd1234efgh"}', "api_key", "abcd1234efgh"),
        ('os.environ.setdefault("X_API_KEY", "abcd1234efgh")', "X_API_KEY", "abcd1234efgh"),
        ("%env OPENAI_API_KEY=abcd1234efgh", "OPENAI_API_KEY", "abcd1234efgh"),
        ("%env OPENAI_API_KEY abcd1234efgh", "OPENAI_API_KEY", "abcd1234efgh"),
        ('%set_env OPENAI_API_KEY = "abcd1234efgh"', "OPENAI_API_KEY", "abcd1234efgh"),
        ("%%bash\nexport OPENAI_API_KEY=abcd1234efgh\n", "OPENAI_API_KEY", "abcd1234efgh"),
        ("!export LAB_KEY=abcd1234efgh5678", "LAB_KEY", "abcd1234efgh5678"),
        ('HF_TOKEN = "hf_abcdefghij0123456789"', "HF_TOKEN", "hf_abcdefghij0123456789"),
        ('client(token="a1b2c3d4e5f6a7b8c9")', "token", "a1b2c3d4e5f6a7b8c9"),
        ('password = "correct-horse-9"', "password", "correct-horse-9"),
        ('x = "sk-abcdefghijklmnopqrs1"', "", "sk-abcdefghijklmnopqrs1"),
        ("%%ask\nIs sk-abcdefghijklmnopqrs1 a key?", "", "sk-abcdefghijklmnopqrs1"),
        ('engine = connect("postgres://me:hunter2222@db/x")', "", "me:hunter2222"),
        ('headers = {"x-api-key": "abcd1234efgh"}', "x-api-key", "abcd1234efgh"),
        ("%%writefile .env\nOPENAI_API_KEY=abcd1234efgh\n", "OPENAI_API_KEY", "abcd1234efgh"),
    ],
)
def test_cells_with_a_key(cell: str, name: str, key: str) -> None:
    """A literal that is assigned to a secret's name, or that has the shape of a key, is found."""
    assert keys_in(cell) == [(name, key)]


@pytest.mark.parametrize(
    "cell",
    [
        "",
        'api_key = ""',
        'api_key = "none"',
        'api_key="EMPTY"',
        'api_key = "short-1"',
        'api_key="your-key-here"',
        'api_key="<your key>"',
        'api_key="sk-your-key-goes-here-1234567"',
        'OPENAI_API_KEY = "sk-..."',
        'api_key="xxxxxxxxxxxx"',
        'api_key = "********"',
        'api_key = "OPENAI_API_KEY"',
        'key_variable="OPENAI_API_KEY"',
        'api_key = os.environ["OPENAI_API_KEY"]',
        'api_key = os.getenv("OPENAI_API_KEY", "abcd1234efgh")',
        'api_key = "${OPENAI_API_KEY}"',
        'api_key = f"{prefix}12345678"',
        'if os.environ["OPENAI_API_KEY"] == "abcd1234efgh": pass',
        'tokenizer = "gpt2-medium-1234567890"',
        "max_tokens = 100000000",
        'pad_token = "<|endoftext|>"',
        'primary_key = "customer_id"',
        'df.sort_values(key="some_long_column_name")',
        'token_url = "https://x.example/oauth/token1234567"',
        'credentials = "service-account.json"',
        'private_key = "/home/me/key.pem"',
        'keywords = "a1 b2 c3 d4 e5 f6 g7 h8"',
        'monkey = "abcdefgh1234567890abc"',
        'x = "sk-learn-is-a-package"',
        'x = "sk-2024-01-01-report-final"',
        'x = "fw-version-2-13-9-beta-release"',
        'key = "customer_id_2024_total"',
        's3_key = "data/2024/january/sales.parquet"',
        'key = "2024-01-01T00:00:00Z"',
        'cache_key = "v1-embedding-openai-3-small"',
        '{"token": "distilbert-base-uncased-v2"}',
        'public_key = "ssh-rsa-AAAAB3NzaC1yc2E1234"',
        'df.rename(columns={"password": "password"})',
        'client = OpenAI(base_url="http://localhost:1234/v1", api_key="lm-studio")',
        'client = OpenAI(base_url="http://localhost:8080/v1", api_key="sk-no-key-required")',
        'url = "https://x.example/?key=abc123"',
        "%env",
        "%env OPENAI_API_KEY",
        "%nbretry key openai",
        "%%ask\nWhat is an API key, and what is a token?",
    ],
)
def test_cells_without_a_key(cell: str) -> None:
    """Placeholders, names of variables, columns, tokens of models, files and addresses are no keys."""
    assert keys_in(cell) == []


@pytest.mark.parametrize(
    "text",
    [
        "key = '",
        "a_key: ",
        "key ",
        "x",
        "a b = ",
        "'a' ",
        "export ",
        ": a",
        "\\'",
        "sk-",
        "://",
        "user:pass",
        "eyJa.",
        " ",
    ],
)
def test_a_long_cell_takes_no_long_look(text: str) -> None:
    """The look at half a megabyte ends soon, whatever it says: it takes no time that grows with its square."""
    done = threading.Event()

    def look() -> None:
        keys_in(f"key {text * (500_000 // len(text))}")
        done.set()

    threading.Thread(target=look, daemon=True).start()
    assert done.wait(WITHIN)

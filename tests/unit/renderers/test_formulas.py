"""Which parts of an answer are formulas, and which formulas may be typeset."""

from __future__ import annotations

import pytest
from hostile import AnswerPage

from nbretry.renderers.formulas import can_be_typeset
from nbretry.renderers.painter import markdown_html, parser


def formulas(text: str) -> list[str]:
    """The formulas of a text, each with its delimiters."""
    found = []
    for token in parser().parse(text):
        found += [part.content for part in (token, *(token.children or [])) if part.type.startswith("formula")]
    return found


def words(text: str) -> str:
    return AnswerPage(markdown_html(text)).text.strip()


@pytest.mark.parametrize(
    "formula",
    [
        "$x$",
        "$E = mc^2$",
        "$3x$",
        "$5$",
        "$2^n$",
        "$3 \\times 4$",
        "$1+1=2$",
        "$10\\%$",
        "$-1$",
        "$\\alpha$",
        "$\\text{if } x > 0$",
        "$\\sqrt{\\$4}$",
        "$p<0.05$",
        "$a|b$",
        "$a_1*b_2*c$",
        "$f(x) = \\{0, 1\\}$",
        "$x\ny$",
        "$$x$$",
        "$$ x $$",
        "$$\\sum_{i<n} x_i$$",
        "\\(x\\)",
        "\\( x \\)",
        "\\(a\nb\\)",
        "\\[x\\]",
        "\\[ a_1*b_2*c \\]",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "It is {}.", "设{}为角", "その{}の", "({})", "**{}**", "[{}](https://x.example)", "{}, so"]
)
def test_formulas_in_a_line(formula: str, around: str) -> None:
    """A formula is found in each of the delimiters, whatever is around it, and nothing in it is Markdown."""
    text = around.format(formula)
    assert formulas(text) == [formula]
    page = AnswerPage(markdown_html(text))
    assert formula in page.text
    assert page.classes == {"mathjax_process", "tex2jax_process"}
    assert "em" not in page.tags


@pytest.mark.parametrize(
    "text",
    [
        "It costs from $5 to $10.",
        "US$5 or A$7",
        "$5,000 (cheap) and $7",
        "costs $3 million and then $4 more",
        "$5-$10 or $5–$10",
        "between $50 and $100 billion",
        "a $100-$200 phone",
        "Sweets are $.50 and gum is $.75.",
        "Seats: $20/user/month (e.g. 7 users = $1680/year)",
        "from $10US to $120US, and $100+ for more",
        "sales of $16,055M, after $19.4B the year before",
        "($25), $1,299.99 and $20.",
        "$5/month or $50/year",
        "$5k and $6k",
        "$5 x $6",
        "$5 = $6?",
        "$5 + $6 = $11",
        "$6'000 and $7'000",
        "$5 and **$6**",
        "$\\text{ROI} = \\frac{$1,200 - $1,000}{$1,000} \\times 100\\% = 20\\%$",
        "profit of $1.2bn, loss of $3bn",
        "$HOME/$USER",
        "set $PATH and $HOME",
        "${A} and ${B}",
        "echo $1 $2",
        "awk '{print $1, $2}'",
        "myData$age * myData$age",
        "if ($a == $b)",
        "$var1=$var2",
        "$_GET['a'] and $_POST['b']",
        "$foo->bar($baz)",
        "$ python3 -i code.py, then $ python3 x.py",
        "$ x $",
        "$x $ y",
        "foo$1+1 = 2$bar",
        "\\$5 and \\$6",
        "\\$x$",
        "$x\\$",
        "a $x",
        "$",
        "$$",
        "$$$",
        "$$$$",
        "$$\n\n$$",
        "\\[\n\\]",
        "a $x\n\ny$ b",
        "`$x` and `$y`",
        "`a$` b `$c`",
        "$x` and `y$",
        "\\\\(x\\\\) and \\\\[x\\\\]",
        "\\(x",
        "\\(\\) and \\[ \\]",
        "\\(a\n\nb\\)",
        "\\begin{align} x",
        "\\begin{align}\nx\n\\end{equation}",
        "see \\begin{align}x\\end{align}",
    ],
)
def test_what_is_no_formula(text: str) -> None:
    """Money, shell variables, code, escaped dollars and delimiters without an end are text."""
    assert formulas(text) == []
    assert "class" not in markdown_html(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the $n$th and the $k$s", ["$n$", "$k$"]),
        ("$k$-means", ["$k$"]),
        ("I give you $2 if you solve $y = x^2$", ["$y = x^2$"]),
        ("I spent \\$500 on books and found $x = 10$.", ["$x = 10$"]),
        ("pay $20 and solve $x+1=2$", ["$x+1=2$"]),
        ("$2^n$ for $5", ["$2^n$"]),
        ("`$x` and $y$", ["$y$"]),
        ("$x$, $y$ and $z$.", ["$x$", "$y$", "$z$"]),
        ("$$a$$ and $$b$$", ["$$a$$", "$$b$$"]),
        ("[$$a$$ or $$b$$](https://x.example)", ["$$a$$", "$$b$$"]),
        ("[\\(a\\) or \\(b\\)](https://x.example)", ["\\(a\\)", "\\(b\\)"]),
        ("- $x$\n- \\(y\\)", ["$x$", "\\(y\\)"]),
        ("1. $x$\n   $$\n   y\n   $$\n2. z", ["$x$", "$$\ny\n$$"]),
        ("> $x$ and\n> $$\n> y\n> $$", ["$x$", "$$\ny\n$$"]),
        ("| a | b |\n| --- | --- |\n| $x$ | $a \\| b$ |", ["$x$", "$a | b$"]),
        ("# About $x$", ["$x$"]),
    ],
)
def test_formulas_beside_other_things(text: str, found: list[str]) -> None:
    """Formulas are found beside money and code, and in lists, quotes, tables and headings."""
    assert formulas(text) == found


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("$$", "$$"),
        ("\\[", "\\]"),
        ("\\begin{align}", "\\end{align}"),
        ("\\begin{equation*}", "\\end{equation*}"),
    ],
)
@pytest.mark.parametrize(
    "content", ["a\n- b\n+ c\n= d\n# e\n> f\n1. g\n---\n| h |", "a &= b_1 \\\\\nc &= d_1 < e*f*g", "a\n\nb", "x"]
)
@pytest.mark.parametrize("mark", ["", ".", ","])
def test_formulas_over_several_lines(begin: str, end: str, content: str, mark: str) -> None:
    """Lines of a formula that look like lists, headings or rules belong to it, and the text goes on after it."""
    formula = f"{begin}\n{content}\n{end}{mark}"
    text = f"Before:\n{formula}\nafter *it*."
    assert formulas(text) == [formula]
    page = AnswerPage(markdown_html(text))
    assert page.tags == ["p", "div", "p", "em"]
    assert formula in page.text


def test_a_formula_ends_within_its_block() -> None:
    """A formula that has no end in its item of a list or in its quote is text."""
    assert formulas("- $$\n  x\n- y\n  $$") == []
    assert formulas("> \\[\n> x\n\n\\]") == []


def test_the_answer_goes_on_after_a_very_long_formula() -> None:
    """What is longer than any formula is text, also between dollars that are far from each other."""
    long = "x+" * 2100
    blocks = [f"$$\n{long}\n$$", f"\\begin{{align}}\n{long}\n\\end{{align}}"]
    for text in (f"${long}x$", f"$${long}x$$", f"\\({long}x\\)", *blocks):
        assert formulas(f"{text}\n\n$y$") == ["$y$"]
        assert words(text).count("x") == text.count("x")


def test_labels_are_left_out() -> None:
    """The label of a formula is not shown to MathJax, which takes each label only once on a page."""
    assert words("$$x \\label{eq:1}$$") == "$$x $$"


@pytest.mark.parametrize(
    "macro",
    [
        "\\href{javascript:alert(1)}{x}",
        "\\href {https://evil.example} {x}",
        "\\HREF{https://evil.example}{x}",
        "\\url{https://evil.example}",
        "\\class{jp-Dialog}{x}",
        "\\style{position:fixed}{x}",
        "\\Style{position:fixed}{x}",
        "\\cssId{x}{y}",
        "\\data{a=b}{x}",
        "\\htmlClass{x}{y}",
        "\\htmlStyle{color:red}{y}",
        "\\htmlId{x}{y}",
        "\\htmlData{x=y}{z}",
        "\\mmlToken{mi}[href=x]{y}",
        "\\require{html}",
        "\\require {html}",
        "\\includegraphics{https://evil.example/x.png}",
        "\\input{/etc/passwd}",
        "\\def\\x{y}",
        "\\gdef\\x{y}",
        "\\let\\x=\\href",
        "\\newcommand{\\frac}{x}",
        "\\newcommand*\\x{y}",
        "\\renewcommand\\frac[2]{x}",
        "\\newenvironment{x}{y}{z}",
        "\\definecolor{red}{RGB}{0,0,0}",
        "\\hspace{-99em}x",
        "\\DeclareMathOperator{\\x}{y}",
        "\\DeclarePairedDelimiters\\x{(}{)}",
        "\\csname href\\endcsname",
        "\\catcode`x=1",
        "\\write18{id}",
        "\\bbox[url(x)]{y}",
        "\\enclose{circle}{x}",
        "\\toggle{a}{b}\\endtoggle",
        "\\texttip{x}{y}",
        "\\rule{999em}{999em}",
        "\\rule{1em}{1em}",
        "\\hspace{1000em}",
        "\\hspace{-999px}x",
        "\\kern-1234pt x",
        "x\\\\[9999em]y",
        "\\raise 9em {x}",
        "\\smash{x}",
        "\\llap{x}",
        "x\\href\n{y}{z}",
        "{}" * 401,
        "\\sqrt{" * 31 + "x" + "}" * 31,
        "\\left(" * 31 + "x" + "\\right)" * 31,
        "\\large x" * 61,
    ],
)
def test_formulas_that_are_not_typeset(macro: str) -> None:
    """A formula that links, styles, loads or defines something, draws far away or is deep is shown as written."""
    assert not can_be_typeset(macro)
    for text in (f"\\({macro}\\)", f"$$\n{macro}\n$$", f"\\begin{{align}}\n{macro}\n\\end{{align}}"):
        page = AnswerPage(markdown_html(text))
        page.assert_inert()
        assert page.classes == set()
        assert page.text.strip() == text


@pytest.mark.parametrize(
    "formula",
    [
        "\\frac{1}{2}",
        "\\mathrm{data}",
        "\\hrefs",
        "\\left( x \\right)",
        "\\ldots \\lambda \\leq \\lesssim",
        "\\rho \\rightarrow \\Rightarrow",
        "\\color{red}{x}",
        "\\hspace{1em}",
        "x\\\\[2pt]y",
        "\\operatorname{rank} A",
        "\\classical \\database",
        "1000\\,\\text{km}",
        "100 p",
        "\\begin{cases} 1 & x < 0 \\\\ 2 \\end{cases}",
        "\\text{class data style}",
    ],
)
def test_formulas_that_are_typeset(formula: str) -> None:
    """Commands that only begin like a forbidden one, and words and numbers like them, are nothing to worry about."""
    assert can_be_typeset(formula)

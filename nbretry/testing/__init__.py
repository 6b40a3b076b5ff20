"""Faults on demand for testing your own notebook or program: providers that misbehave according to a script.

`simulate` returns a provider in this process, which needs neither a network nor an SDK; `FaultServer` does the same
over HTTP. Both play the scripts of `nbretry.providers.script`:

>>> from nbretry.providers import RetryProvider
>>> from nbretry.testing import simulate
>>> flaky = simulate("500, 'Hello' ' world'")
>>> retry_provider = RetryProvider([flaky], single_provider_retry=True)
>>> "".join(retry_provider.create_completion("", [{"role": "user", "content": "Hello?"}]))
'Hello world'
>>> len(flaky.calls)
2
"""

from __future__ import annotations

from nbretry._utils.clock import SYSTEM_CLOCK, Clock
from nbretry.providers.script import Script
from nbretry.providers.scripted import ScriptedProvider
from nbretry.testing.fault_server import FaultServer, ReceivedRequest

__all__ = ["FaultServer", "ReceivedRequest", "simulate"]


def simulate(
    script: Script = "ok",
    *,
    name: str = "simulated",
    model: str = "simulated",
    delay: float = 0.0,
    clock: Clock = SYSTEM_CLOCK,
) -> ScriptedProvider:
    """Return a provider that misbehaves according to a script: one play per call, and the last one repeats.

    Args:
        script: the script, such as ``"429 retry-after=2, hang, 'Hello' cut, ok"``; see
            `nbretry.providers.script.parse_script`.
        name: the provider's name.
        model: the model's name, as the answer reports it.
        delay: seconds before each chunk of text.
        clock: the clock for all waits.

    Returns:
        The provider; its ``calls`` lists what it was asked.

    Raises:
        ConfigError: the script's text has an unknown step, or there is no play.

    Example:
        >>> from nbretry import RetryProvider
        >>> flaky = simulate("500, 'Hello' ' world'", name="flaky")
        >>> retry_provider = RetryProvider([flaky, simulate("'Somebody else'")], shuffle=False)
        >>> messages = [{"role": "user", "content": "Anybody there?"}]
        >>> ["".join(retry_provider.create_completion("", messages)) for _ in range(2)]
        ['Somebody else', 'Hello world']
    """
    return ScriptedProvider(script, name=name, model=model, delay=delay, clock=clock)

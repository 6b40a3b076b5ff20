"""Faults on demand, for testing your own notebook or program: providers that misbehave as a script says.

`simulate` gives a provider in this process, which needs neither a network nor an SDK; `FaultServer` does the same on
the wire. Both play the scripts of `nbretry.providers.script`:

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
    """A provider that misbehaves as scripted: one play a call, the last one repeats.

    Args:
        script: as ``"429 retry-after=2, hang, 'Hello' cut, ok"``; see `nbretry.providers.script.parse_script`.
        name: the provider's name.
        model: the model's name, as the answer tells it.
        delay: seconds before each chunk of text.
        clock: what is waited by.

    Returns:
        The provider; its ``calls`` are what it was asked.

    Raises:
        ConfigError: the script's text has a step that is unknown, or there is no play.

    Example:
        >>> from nbretry import RetryProvider
        >>> flaky = simulate("500, 'Hello' ' world'", name="flaky")
        >>> retry_provider = RetryProvider([flaky, simulate("'Somebody else'")], shuffle=False)
        >>> messages = [{"role": "user", "content": "Anybody there?"}]
        >>> ["".join(retry_provider.create_completion("", messages)) for _ in range(2)]
        ['Somebody else', 'Hello world']
    """
    return ScriptedProvider(script, name=name, model=model, delay=delay, clock=clock)

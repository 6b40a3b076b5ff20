"""The cell that each test runs first.

``slow`` answers for a hundred seconds at least, so that it is stopped midway also by a test on a busy machine.
"""

PROVIDERS = '''
%load_ext nbretry
import asyncio, nbretry, os, time
from nbretry.errors import APIConnectionError
from nbretry.providers import OpenAIProvider

def was_told(word):
    """Whether the test has said this word: it is a file beside the notebook, as the kernel may be busy."""
    return os.path.exists(word)

async def told(word):
    """Wait until the test has said this word."""
    while not was_told(word):
        await asyncio.sleep(0.02)

class Provider:
    def __init__(self, text, delay=0.0):
        self.words, self.delay = [word + " " for word in text.split(" ")], delay

    async def create_async_generator(self, model, messages, **options):
        for word in self.words:
            await asyncio.sleep(self.delay)
            yield word

nbretry.register("nobody-there", OpenAIProvider(base_url="http://127.0.0.1:9/v1", api_key="none", model="any"))
nbretry.register("slow", Provider(" ".join(f"word{i}" for i in range(5000)), delay=0.02))
nbretry.register("hostile", Provider("""Before.
<script>window.hostile = 1</script> <img src=x onerror="window.hostile = 2">
![picture](http://remote.invalid/pixel.png) [link](javascript:window.hostile=3)
[other](java&#115;cript:window.hostile=4) <javascript:window.hostile=5> [third][x]

[x]: javascript:window.hostile=6

<style>body { display: none }</style> <div style="position:fixed;inset:0">cover</div>
After."""))
'''

"""The error tree.

    NbretryError
    ├── RetryProviderError          every provider failed, or the one that had begun to answer broke off
    ├── RetryNoProviderError        there was nobody to ask
    ├── ConfigError                 a setting is wrong: which one, and what would be right
    ├── AnswerFormatError           an answer is not in the form that was asked for
    └── ProviderError               one provider failed
        ├── APIConnectionError      it could not be reached
        │   └── APITimeoutError     it did not answer in time
        ├── APIStatusError          it answered with an HTTP status of 400 or more
        │   ├── BadRequestError             400, 422: the request itself is wrong
        │   │   ├── ContextLengthError      the prompt is longer than the model takes
        │   │   └── ImageInputError         the prompt has an image, and the model takes none
        │   ├── AuthenticationError         401
        │   ├── PermissionDeniedError       402, 403
        │   ├── NotFoundError               404
        │   ├── RateLimitError              429
        │   └── ServerError                 5xx
        ├── StreamError             the answer came, and was not whole
        │   ├── StreamInterruptedError      the stream broke off
        │   └── EmptyResponseError          it ended without any content
        └── NotAskedError           it was passed over
            ├── RestingError                it rests after failures
            └── CostLimitError              its request would have passed ``max_cost``

The names below ``ProviderError`` are those of the OpenAI and Anthropic SDKs where those have one.
"""

from __future__ import annotations

from nbretry._errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ContextLengthError,
    CostLimitError,
    EmptyResponseError,
    ImageInputError,
    NbretryError,
    NotAskedError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    RecordedError,
    RestingError,
    ServerError,
    StreamError,
    StreamInterruptedError,
)
from nbretry.answer import AnswerFormatError, RetryNoProviderError, RetryProviderError

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AnswerFormatError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ContextLengthError",
    "CostLimitError",
    "EmptyResponseError",
    "ImageInputError",
    "NbretryError",
    "NotAskedError",
    "NotFoundError",
    "PermissionDeniedError",
    "ProviderError",
    "RateLimitError",
    "RecordedError",
    "RestingError",
    "RetryNoProviderError",
    "RetryProviderError",
    "ServerError",
    "StreamError",
    "StreamInterruptedError",
]

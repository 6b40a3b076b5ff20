"""The exceptions that nbretry raises, as a tree.

    NbretryError
    ├── RetryProviderError          no provider gave a complete answer
    ├── RetryNoProviderError        there was no provider to ask
    ├── ConfigError                 a setting is invalid: which one, and what would be valid
    ├── AnswerFormatError           an answer is not in the requested format
    └── ProviderError               one provider failed
        ├── APIConnectionError      the provider could not be reached
        │   └── APITimeoutError     it did not answer in time
        ├── APIStatusError          it answered with an HTTP status of 400 or more
        │   ├── BadRequestError             400, 422: the request itself is invalid
        │   │   ├── ContextLengthError      the prompt is longer than the model accepts
        │   │   └── ImageInputError         the prompt contains an image, and the model accepts none
        │   ├── AuthenticationError         401
        │   ├── PermissionDeniedError       402, 403
        │   ├── NotFoundError               404
        │   ├── RateLimitError              429
        │   └── ServerError                 5xx
        ├── StreamError             the answer is incomplete
        │   ├── StreamInterruptedError      the stream broke off
        │   └── EmptyResponseError          the answer has no content
        └── NotAskedError           the provider was skipped
            ├── RestingError                it is cooling down after failures
            └── CostLimitError              the request would exceed ``max_cost``

The names below ``ProviderError`` match those of the OpenAI and Anthropic SDKs where the SDKs have an equivalent.
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

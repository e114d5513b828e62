"""Everything that can go wrong, as facts. How an error looks over HTTP stands in `problems`.

InboundError
├── StoreUnavailable            table or queue do not take everything now; doing it again will help
├── WebhookError                Meta's call is refused
│   ├── VerificationFailed      GET: mode or token is wrong
│   ├── BodyTooLarge            larger than Meta ever sends
│   ├── SignatureInvalid        missing or wrong
│   └── NotConfigured           no app secret yet: fail closed
├── ForwardFailed               the CRM's own webhook did not take a notification; never told over HTTP
├── SigningKeyError             CloudFormation's request for signing keys is refused; never told over HTTP
│   ├── RequestInvalid          a field is missing or malformed
│   ├── TooManySigningKeys      more than CloudFront takes are still needed
│   ├── SigningKeysUnreadable   the secret holds something else
│   ├── SigningKeysInUse        a key group still names a key that is to go
│   ├── AwsCallFailed           AWS refuses, or does not answer
│   └── GivenUp                 the time is over
├── InboxError                  a request to the read API cannot be served
│   ├── InvalidRequest          a parameter is missing or malformed
│   └── ConversationNotFound    unknown, or not the caller's
└── MediaError                  a media request cannot be served
    ├── Unauthenticated         no token, or not valid
    ├── MessageNotFound         unknown, or not the caller's
    ├── NoMedia                 a message without media
    ├── MediaUnavailable        Meta never gave an id
    ├── MediaExpired            Meta no longer has it, or says so
    ├── MediaTooLarge           larger than the limit
    ├── MediaCorrupt            length, hash or type differ from what Meta declared
    ├── AccessTokenInvalid      our Graph token is refused
    ├── GraphRefused            any other refusal
    ├── MediaHostRefused        Graph pointed to a host off the list
    ├── RateLimited             Graph throttles
    ├── GraphUnavailable        Graph fails, cannot be reached, or answers nonsense
    │   └── MediaUrlDead        a fresh media URL did not give the file
    ├── GraphTimeout            did not fit in the time left
    └── InternalError           ours
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class InboundError(Exception):
    """Root of the tree. `code` is stable and public; `detail` is one sentence without personal data."""

    code: ClassVar[str]

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class StoreUnavailable(InboundError):
    """Something could not be stored or queued; sending it again will help."""

    code = "store_unavailable"


class WebhookError(InboundError):
    """A call to the webhook that is not accepted."""


class VerificationFailed(WebhookError):
    """The verification request does not carry an app's verify token."""

    code = "verification_failed"


class BodyTooLarge(WebhookError):
    """The body is larger than any that Meta sends."""

    code = "body_too_large"


class SignatureInvalid(WebhookError):
    """No app secret made this signature over these bytes."""

    code = "signature_invalid"


class NotConfigured(WebhookError):
    """No app secret is stored yet, so nothing can be trusted."""

    code = "not_configured"


class ForwardFailed(InboundError):
    """The CRM's webhook did not take what was forwarded; it is tried again later.

    `kind` says how: the class of its status (`3xx`, `4xx`, `5xx`; `1xx` for what is none), or `network`; or why there
    was nothing to send: `body`, `unreadable`. `retry_after` is in seconds, when it was asked for.
    """

    code = "forward_failed"

    def __init__(self, detail: str, *, kind: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.retry_after = retry_after


class SigningKeyError(InboundError):
    """Keys cannot be made, changed or removed. CloudFormation shows type and `detail` to who deploys."""

    code = "signing_key_error"


class RequestInvalid(SigningKeyError):
    """The request lacks a field, or one is malformed."""


class TooManySigningKeys(SigningKeyError):
    """One more key would be more than CloudFront takes, and none can go yet."""


class SigningKeysUnreadable(SigningKeyError):
    """The secret holds no list of keys."""


class SigningKeysInUse(SigningKeyError):
    """A key group still names a key that is to be deleted."""


class AwsCallFailed(SigningKeyError):
    """AWS refuses a call, or does not answer it, again and again."""


class GivenUp(SigningKeyError):
    """The request was answered meanwhile: nothing may happen any more."""


class InboxError(InboundError):
    """A conversation that cannot be had, or a request that makes no sense."""


class InvalidRequest(InboxError):
    """A parameter is missing or malformed, or a cursor belongs to another listing."""

    code = "invalid_request"


class ConversationNotFound(InboxError):
    """Unknown, or not the caller's: the two look the same."""

    code = "conversation_not_found"


class MediaError(InboundError):
    """A medium, a message or a conversation that cannot be had, and whether asking again may help.

    `retry_after` is in seconds, when known. `graph_code`, `graph_subcode`, `graph_trace` and `http_status` are
    what Graph said, for logs. `media` is what is known of the media although its bytes are not there.
    """

    retryable: bool = False
    media: Mapping[str, Any] | None = None

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: int | None = None,
        http_status: int | None = None,
        graph_code: int | None = None,
        graph_subcode: int | None = None,
        graph_trace: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.http_status = http_status
        self.graph_code = graph_code
        self.graph_subcode = graph_subcode
        self.graph_trace = graph_trace


class Unauthenticated(MediaError):
    """No media token, or one that is not valid."""

    code = "unauthenticated"


class MessageNotFound(MediaError):
    """Unknown, or not the caller's: the two look the same."""

    code = "message_not_found"


class NoMedia(MediaError):
    """The message carries no media."""

    code = "no_media"


class MediaUnavailable(MediaError):
    """Meta never gave a media id."""

    code = "media_unavailable"


class MediaExpired(MediaError):
    """Meta no longer has the media, or says so.

    `final` marks an explicit "gone"; otherwise the same answer also means "token without access", so it may be
    asked again (`retryable`) until the deadline of the media.
    """

    code = "media_expired"
    retryable = True

    def __init__(
        self,
        detail: str = "",
        *,
        final: bool = False,
        retry_after: int | None = None,
        http_status: int | None = None,
        graph_code: int | None = None,
        graph_subcode: int | None = None,
        graph_trace: str | None = None,
    ) -> None:
        super().__init__(
            detail,
            retry_after=retry_after,
            http_status=http_status,
            graph_code=graph_code,
            graph_subcode=graph_subcode,
            graph_trace=graph_trace,
        )
        self.final = final
        self.retryable = not final


class MediaTooLarge(MediaError):
    """The media is larger than the limit."""

    code = "media_too_large"


class MediaCorrupt(MediaError):
    """Length, hash or type differ from what Meta declared."""

    code = "media_corrupt"
    retryable = True


class AccessTokenInvalid(MediaError):
    """Graph does not accept our access token. It is tried again later by itself."""

    code = "access_token_invalid"


class GraphRefused(MediaError):
    """Graph refuses for a reason that asking again does not cure."""

    code = "graph_refused"


class MediaHostRefused(MediaError):
    """Graph pointed to a host that is not on the list."""

    code = "media_host_refused"


class RateLimited(MediaError):
    """Graph throttles."""

    code = "rate_limited"
    retryable = True


class GraphUnavailable(MediaError):
    """Graph fails, cannot be reached, or its answer makes no sense."""

    code = "graph_unavailable"
    retryable = True


class MediaUrlDead(GraphUnavailable):
    """The media URL that Graph just gave did not give the file; a new URL may."""


class GraphTimeout(MediaError):
    """Getting the media did not fit in the time left."""

    code = "graph_timeout"
    retryable = True


class InternalError(MediaError):
    """A fault of ours. `detail` holds the request id and nothing else."""

    code = "internal_error"
    retryable = True

"""What a request of CloudFormation's takes: keys are made, kept, or removed. A second time finds it done.

A key lives in two places, and either may be written without the other when something ends half-way. The secret is what
counts: a public key that it does not know is removed, and a key in it that CloudFront does not know is made anew.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import boto3
import tenacity
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inbound.config import SigningKeySettings
from inbound.errors import AwsCallFailed, GivenUp, RequestInvalid, SigningKeysInUse
from inbound.observability import logger
from signing_key import names
from signing_key.key_pair import KeyPair, new_pair
from signing_key.plan import plan
from signing_key.public_keys import PublicKeys
from signing_key.stored_keys import StoredKey, StoredKeys

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Shape = TypeVar("Shape", bound=BaseModel)

# CloudFront answers from one place for the whole world, which may be far.
_CALM = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})

# What passes by itself: rights of a role that is seconds old, a key group that CloudFront still remembers.
PASSING = (BotoCoreError, ClientError, SigningKeysInUse)
TRIES = 6
PAUSES = tenacity.wait_exponential(max=15)  # seconds; half a minute in all


class Asked(BaseModel):
    """A request, without the properties of the resource: a bad property must not keep a stack from being deleted."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    request_type: Literal["Create", "Update", "Delete"] = Field(alias="RequestType")
    stack_id: str = Field(alias="StackId")
    request_id: str = Field(alias="RequestId")


class Wish(BaseModel):
    """The properties: which version is to sign, and whether what it follows stays valid. CloudFormation sends texts."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    version: Annotated[str, Field(alias="KeyVersion", pattern=r"^[A-Za-z0-9-]{1,20}$")]
    keep_old: bool = Field(alias="KeepOldSigningKeys")


@dataclass(frozen=True, slots=True)
class Ceremony:
    """All that is the same however often a request is tried, so that each try goes on with what the last one did.

    `now` is in Unix seconds, `token` identifies the request to Secrets Manager.
    """

    public_keys: PublicKeys
    stored: StoredKeys
    token: str
    now: int


@logger.inject_lambda_context(log_event=False)
def carry_out(request: dict[str, Any], _context: "LambdaContext", given_up: Event) -> tuple[str, ...]:
    """Do what is asked, and give the ids of the keys that the key group is to hold, newest first.

    The context is the logger's. Nothing is sent to AWS any more once `given_up` is set. Raises `SigningKeyError`.
    """
    asked = _valid(Asked, request)
    if asked.request_type == "Delete":
        ceremony = opened(asked, given_up)
        return _tried(lambda: removed(ceremony))
    wish = _valid(Wish, request.get("ResourceProperties"))
    ceremony = opened(asked, given_up)
    pair = new_pair(names.name(names.owner(asked.stack_id), wish.version, secrets.token_hex(6)))
    return _tried(lambda: ensured(ceremony, wish, pair))


def opened(asked: Asked, given_up: Event) -> Ceremony:
    """Prepare what a request takes."""
    cloudfront = boto3.client("cloudfront", config=_CALM)
    secretsmanager = boto3.client("secretsmanager", config=_CALM)

    # A process that was given up may be frozen, and wake with the next request: then it must not write any more.
    def stop(**_: object) -> None:
        if given_up.is_set():
            raise GivenUp("The time for this request is over.")

    for client in (cloudfront, secretsmanager):
        client.meta.events.register("before-send", stop)
    return Ceremony(
        public_keys=PublicKeys(cloudfront, names.owner(asked.stack_id)),
        stored=StoredKeys(secretsmanager, SigningKeySettings.from_environment().signing_key_secret_id),
        token=hashlib.sha256(f"{asked.stack_id}\n{asked.request_id}".encode()).hexdigest(),
        now=int(time.time()),
    )


def ensured(ceremony: Ceremony, wish: Wish, pair: KeyPair) -> tuple[str, ...]:
    """Make what is wished for, with this pair if it takes a new one, and tidy up."""
    known, present = ceremony.stored.read(), ceremony.public_keys.names()
    living = [key for key in known if key.key_id in present or ceremony.public_keys.has(key.key_id)]
    planned = plan(living, wish.version, ceremony.now, keep_old=wish.keep_old)
    keys = planned.keys
    if planned.new_from is not None:
        # It is there already when an earlier try did not hear of its creation.
        found = next((key_id for key_id, name in present.items() if name == pair.name), None)
        key_id = found or ceremony.public_keys.add(pair)
        new = StoredKey(key_id=key_id, pem=pair.private, active_from=planned.new_from, version=wish.version)
        keys = (new, *keys)
    if keys != known:
        ceremony.stored.write(keys, ceremony.token)
    ids = tuple(key.key_id for key in keys)
    # What the key group still names can go only after CloudFormation has changed the group: at the next request.
    left = [key_id for key_id in present if key_id not in ids and not ceremony.public_keys.remove(key_id)]
    logger.info("signing_keys", version=wish.version, key_ids=ids, unused_but_in_key_group=left)
    return ids


def removed(ceremony: Ceremony) -> tuple[str, ...]:
    """Remove all keys. The secret last, so that what still works goes on working when this fails.

    Raises `SigningKeysInUse` while a key group names one of them.
    """
    present = ceremony.public_keys.names()
    left = [key_id for key_id in present if not ceremony.public_keys.remove(key_id)]
    if left:
        raise SigningKeysInUse(
            f"A key group at CloudFront still names {', '.join(left)}. Delete it, then the stack again."
        )
    ceremony.stored.empty(ceremony.token)
    logger.info("signing_keys_removed", key_ids=list(present))
    return ()


def _valid(shape: type[Shape], value: object) -> Shape:
    """Check a part of the request. The error names the field and never the value."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, one["loc"])) for one in error.errors(include_input=False)) or "properties"
        raise RequestInvalid(f"CloudFormation's request does not have the expected {fields}.") from None


def _tried(work: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Work until it succeeds, or fails for good."""
    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(PASSING),
        stop=tenacity.stop_after_attempt(TRIES),
        wait=PAUSES,
        before_sleep=_note,
        reraise=True,
    )
    try:
        return tries(work)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise AwsCallFailed(f"{error.operation_name} was answered with {code}.") from None
    except BotoCoreError as error:
        raise AwsCallFailed(f"AWS could not be asked ({type(error).__name__}).") from None


def _note(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    logger.warning(
        "trying_again", code=code, operation=getattr(error, "operation_name", ""), attempt=state.attempt_number
    )

"""Entry point: a custom resource of CloudFormation's, which makes the keys that sign addresses at the edge.

CloudFormation waits for an answer at a presigned URL, and the stack waits with it. So whatever happens ends in an
answer, and this module imports only what Lambda has by itself: all else is imported where a failure can be told.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import logging
import traceback
from concurrent.futures import Future, wait
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import urllib3

from signing_key import answer
from signing_key.answer import Answer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Five tries of five seconds, with their pauses, fit into the reserve. Nobody may make us wait (Retry-After).
RESERVE = 40.0  # seconds of the function's time that are kept for the answer
ONE_TRY = 5.0  # seconds
TRIES = urllib3.Retry(
    total=4,
    backoff_factor=0.5,
    status_forcelist={429, 500, 502, 503, 504},
    raise_on_status=False,
    respect_retry_after_header=False,
)

# It puts addresses into its messages, and ours is a secret: whoever knows it may answer for us.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)
log = logging.getLogger(__name__)


class AnswerNotDelivered(Exception):
    """CloudFormation did not take the answer; the resource's ServiceTimeout ends its waiting."""


def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Lambda's entry point: a request of CloudFormation's in, the answer PUT to its `ResponseURL`.

    Raises `AnswerNotDelivered`, so that the function's errors are counted.
    """
    url = event["ResponseURL"]  # first: without one, nothing is done
    request = {key: value for key, value in event.items() if key != "ResponseURL"}
    outcome = outcome_of(request, context, context.get_remaining_time_in_millis() / 1000 - RESERVE)
    deliver(answer.body(outcome, request), url)


def outcome_of(request: dict[str, Any], context: "LambdaContext", seconds: float) -> Answer:
    """Do what is asked, in a thread that is given up after so many seconds; then it sends nothing more to AWS."""
    done: Future[Answer] = Future()
    given_up = Event()
    work = Thread(target=lambda: done.set_result(attempt(request, context, given_up)), daemon=True)
    try:
        work.start()
    except RuntimeError as error:  # no thread can be had
        return failed(error, context)
    if wait([done], seconds).done:
        return done.result()
    given_up.set()
    log.error("signing_keys_too_slow")
    return Answer(reason="TimedOut: AWS did not answer in time. Nothing speaks against another try.")


def attempt(request: dict[str, Any], context: "LambdaContext", given_up: Event) -> Answer:
    """Do what is asked, and tell what came of it."""
    try:
        from signing_key.ceremony import carry_out

        return Answer(carry_out(request, context, given_up))
    except BaseException as error:  # noqa: BLE001  (whatever it is, CloudFormation waits for an answer)
        return failed(error, context)


def failed(error: BaseException, context: "LambdaContext") -> Answer:
    """Log where it happened, and tell CloudFormation; without messages: those of libraries may show what was sent."""
    log.error("signing_keys_failed: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return Answer(reason=answer.reason(error, context.log_group_name))


def deliver(body: bytes, url: str) -> None:
    """PUT the answer. Raises `AnswerNotDelivered`, which does not name the URL."""
    try:
        # The signature of the URL is over an empty content type.
        response = urllib3.PoolManager().request(
            "PUT",
            url,
            body=body,
            headers={"Content-Type": ""},
            retries=TRIES,
            timeout=urllib3.Timeout(total=ONE_TRY),
            redirect=False,
        )
    except Exception as error:  # noqa: BLE001  (none may pass: each may hold the URL, which is a secret)
        raise AnswerNotDelivered(type(error).__name__) from None
    if response.status != 200:
        raise AnswerNotDelivered(f"HTTP {response.status}")

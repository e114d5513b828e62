"""What template.yaml declares, in the shapes that the local run and the tests need.

A key schema, a route or a header is written once, in the template; here it is only read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.intrinsics import Scope, TemplateError, UnknownReference, read_yaml

PATH = Path(__file__).parent.parent / "template.yaml"

INTEGRATION_TIMEOUT = 30.0
"""Seconds after which an HTTP API gives up on a function; cannot be raised.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""


@dataclass(frozen=True)
class Table:
    """A table: the arguments of CreateTable but its name, and the attribute that holds the expiry time."""

    definition: dict[str, Any]
    ttl_attribute: str | None


@dataclass(frozen=True)
class Function:
    """A Lambda function: `memory` in MiB, `timeout` in seconds, `environment` resolved."""

    logical_id: str
    handler: str
    environment: dict[str, str]
    memory: int
    timeout: float


@dataclass(frozen=True)
class Route:
    """A route of the HTTP API: `path` with `{parameters}`, the logical id of the function, timeout in s."""

    method: str
    path: str
    function: str
    timeout: float = INTEGRATION_TIMEOUT

    @property
    def key(self) -> str:
        """The route key, as events name it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class QueueSource:
    """A queue whose messages a function gets.

    `batch_size` is in messages, `window` in seconds: how long a batch may wait to become full. `concurrency` is how
    many batches run at once; `reports_failures` whether the function's answer names the messages that failed.
    """

    function: str
    queue_url: str
    queue_arn: str
    batch_size: int
    window: int
    concurrency: int
    reports_failures: bool


@dataclass(frozen=True)
class Schedule:
    """A function that is called every `period` seconds, with `event`, or (None) with what `service` says.

    `service` is "events" for a rule of EventBridge, "scheduler" for a schedule of EventBridge Scheduler; `name` is
    what SAM calls it.
    """

    function: str
    name: str
    service: str
    period: float
    event: Any


@dataclass(frozen=True)
class Pipe:
    """A pipe of EventBridge, from the stream of a table to an event bus.

    A record passes when any of the `patterns` (of EventBridge) fits. `detail_type` is a text, or a JSON path into the
    record, `input_template` the event's detail with JSON paths in it, `batch_size` in events.
    """

    stream_arn: str
    position: str
    batch_size: int
    patterns: tuple[dict[str, Any], ...]
    bus: str
    source: str
    detail_type: str
    input_template: str


@dataclass(frozen=True)
class Cors:
    """Who may call from another origin. Header names are as configured; `max_age` is in seconds."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int | None = None

    def allows(self, origin: str) -> bool:
        """Tell whether an origin may call: it is listed, or matches `*`, `http://*` or `https://*`."""
        return any(origin.startswith(own[:-1]) if own.endswith("*") else origin == own for own in self.origins)


@dataclass(frozen=True)
class Behaviour:
    """A cache behaviour of the CloudFront distribution, with its response headers policy.

    `headers` replace what the origin sends, `default_headers` only fill gaps. `query_strings` are those that
    reach the origin (and the cache key). `signed` says whether a signature is demanded.
    """

    path_pattern: str
    headers: dict[str, str]
    default_headers: dict[str, str]
    cors: Cors | None
    query_strings: tuple[str, ...]
    signed: bool


class Template:
    """A template with values for its parameters and physical names for its resources.

    `parameters` override the defaults; `physical` maps "LogicalId" and "LogicalId.Attribute" to what Ref and
    GetAtt give. Every reader raises `local.intrinsics.TemplateError` for what it does not understand.
    """

    def __init__(
        self,
        document: dict[str, Any],
        parameters: Mapping[str, str] | None = None,
        physical: Mapping[str, str] | None = None,
    ) -> None:
        self.document = document
        self._scope = Scope(document, parameters or {}, physical or {})

    def with_physical(self, physical: Mapping[str, str]) -> Template:
        """Give the same template, knowing more physical names and attributes."""
        return Template(self.document, self._scope.parameters, {**self._scope.physical, **physical})

    def resolve(self, value: Any) -> Any:
        """Give a part of the template with its intrinsic functions replaced."""
        return self._scope.resolve(value)

    def parameter(self, name: str) -> str | list[str]:
        """Give a parameter's value, or its default."""
        return self._scope.parameter(name)

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Give the unresolved properties of the resources of a type whose condition holds, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.document["Resources"].items()
            if resource["Type"] == kind and self._exists(resource)
        }

    def properties(self, logical_id: str, kind: str) -> dict[str, Any]:
        """Give the unresolved properties of one resource of this type."""
        found = self.of_type(kind)
        if logical_id not in found:
            raise UnknownReference(f"the template has no {kind} called {logical_id}")
        return found[logical_id]

    def _exists(self, resource: dict[str, Any]) -> bool:
        return "Condition" not in resource or self._scope.condition(resource["Condition"])


def load(
    parameters: Mapping[str, str] | None = None,
    physical: Mapping[str, str] | None = None,
    path: Path = PATH,
) -> Template:
    """Read the project's template (or another) with these parameters and physical names."""
    return Template(read_yaml(path), parameters, physical)


_TABLE_ARGUMENTS = (
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "BillingMode",
    "ProvisionedThroughput",
)


def tables(template: Template) -> dict[str, Table]:
    """Give the tables by logical id."""
    return {name: _table(template, own) for name, own in template.of_type("AWS::DynamoDB::Table").items()}


def _table(template: Template, properties: dict[str, Any]) -> Table:
    definition = template.resolve({key: properties[key] for key in _TABLE_ARGUMENTS if key in properties})
    if "StreamSpecification" in properties:
        definition["StreamSpecification"] = {"StreamEnabled": True} | template.resolve(
            properties["StreamSpecification"]
        )
    expiry = template.resolve(properties.get("TimeToLiveSpecification", {}))
    return Table(definition, expiry.get("AttributeName") if expiry.get("Enabled") else None)


def buckets(template: Template) -> tuple[str, ...]:
    """Give the logical ids of the buckets."""
    return tuple(template.of_type("AWS::S3::Bucket"))


def buses(template: Template) -> tuple[str, ...]:
    """Give the logical ids of the event buses."""
    return tuple(template.of_type("AWS::Events::EventBus"))


def secrets(template: Template) -> tuple[str, ...]:
    """Give the logical ids of the secrets."""
    return tuple(template.of_type("AWS::SecretsManager::Secret"))


def queues(template: Template) -> tuple[str, ...]:
    """Give the logical ids of the queues, those that others fall back on first."""
    declared = template.of_type("AWS::SQS::Queue")
    return tuple(sorted(declared, key=lambda name: "RedrivePolicy" in declared[name]))


_NO_QUEUE_ATTRIBUTES = ("QueueName", "Tags", "RedriveAllowPolicy", "KmsMasterKeyId")


def queue_attributes(template: Template, logical_id: str) -> dict[str, str]:
    """Give the attributes of CreateQueue; the physical values must hold the ARN of a dead-letter queue."""
    properties = template.properties(logical_id, "AWS::SQS::Queue")
    wanted = {key: value for key, value in properties.items() if key not in _NO_QUEUE_ATTRIBUTES}
    return {key: _attribute(value) for key, value in template.resolve(wanted).items()}


def _attribute(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def functions(template: Template) -> dict[str, Function]:
    """Give the functions by logical id; what their environments name must be among the physical values."""
    return {
        name: _function(template, name, properties)
        for name, properties in template.of_type("AWS::Serverless::Function").items()
    }


def _function(template: Template, logical_id: str, properties: dict[str, Any]) -> Function:
    shared = template.document.get("Globals", {}).get("Function", {})
    variables = {**_variables(shared), **_variables(properties)}
    merged = {**shared, **properties}
    return Function(
        logical_id=logical_id,
        handler=template.resolve(merged["Handler"]),
        environment={key: _text(key, value) for key, value in template.resolve(variables).items()},
        memory=int(template.resolve(merged.get("MemorySize", 128))),
        timeout=float(template.resolve(merged.get("Timeout", 3))),
    )


def _variables(properties: dict[str, Any]) -> dict[str, Any]:
    variables: dict[str, Any] = properties.get("Environment", {}).get("Variables", {})
    return variables


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise TemplateError(f"the environment variable {name} is no text")
    return str(value)


def routes(template: Template) -> tuple[Route, ...]:
    """Give the routes of the HTTP API, which the functions declare as events."""
    for name, api in template.of_type("AWS::Serverless::HttpApi").items():
        if "DefinitionBody" in api or "DefinitionUri" in api:
            raise TemplateError(f"{name} has an OpenAPI definition: the local run reads routes from functions only")
    return tuple(
        route
        for function, properties in template.of_type("AWS::Serverless::Function").items()
        for route in _routes_of(template, function, properties.get("Events", {}))
    )


def _routes_of(template: Template, function: str, events: dict[str, Any]) -> Iterator[Route]:
    for event in events.values():
        if event["Type"] != "HttpApi":
            continue
        own = {key: value for key, value in event["Properties"].items() if key != "ApiId"}
        resolved = template.resolve(own)
        if resolved.get("PayloadFormatVersion", "2.0") != "2.0":
            raise TemplateError(f"{function} wants another payload format than 2.0")
        if resolved["Path"] == "$default":
            raise TemplateError(f"{function} takes the $default route, which the local gateway does not know")
        timeout = float(resolved.get("TimeoutInMillis", INTEGRATION_TIMEOUT * 1000)) / 1000
        yield Route(resolved["Method"].upper(), resolved["Path"], function, timeout)


_SOURCE = {
    "BatchSize",
    "Enabled",
    "FunctionResponseTypes",
    "MaximumBatchingWindowInSeconds",
    "Queue",
    "ScalingConfig",
}
_CONCURRENCY = 5
"""Batches that Lambda begins with where the template sets no limit.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""


def queue_sources(template: Template) -> tuple[QueueSource, ...]:
    """Give the queues that feed functions; the physical values must hold their URLs and ARNs.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-sqs.html
    """
    return tuple(
        _queue_source(template, function, name, properties)
        for function, name, _, properties in _events(template, "SQS")
        if _is_on(name, template.resolve(properties.get("Enabled", True)))
    )


def _events(template: Template, *kinds: str) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield function, name, type and unresolved properties of each event of these types."""
    for function, properties in template.of_type("AWS::Serverless::Function").items():
        for name, event in properties.get("Events", {}).items():
            if event["Type"] in kinds:
                yield function, name, event["Type"], event.get("Properties", {})


def _queue_source(template: Template, function: str, name: str, properties: dict[str, Any]) -> QueueSource:
    _check_known(name, properties, _SOURCE)
    queue = _queue_named(template, name, properties.get("Queue"))
    own = template.resolve({key: value for key, value in properties.items() if key != "Queue"})
    types = own.get("FunctionResponseTypes", [])
    if types not in ([], ["ReportBatchItemFailures"]):
        raise TemplateError(f"{name} has response types that Lambda does not know: {types}")
    scaling = own.get("ScalingConfig", {})
    _check_known(name, scaling, {"MaximumConcurrency"})
    window = _whole(name, own.get("MaximumBatchingWindowInSeconds", 0), 0, 300)
    return QueueSource(
        function=function,
        queue_url=template.resolve({"Ref": queue}),
        queue_arn=template.resolve({"Fn::GetAtt": [queue, "Arn"]}),
        # Without a window there is one look at the queue, which gives ten messages at most.
        batch_size=_whole(name, own.get("BatchSize", 10), 1, 10_000 if window else 10),
        window=window,
        concurrency=_whole(name, scaling["MaximumConcurrency"], 2, 1000) if scaling else _CONCURRENCY,
        reports_failures=bool(types),
    )


def _queue_named(template: Template, name: str, reference: Any) -> str:
    """Give the logical id of the queue that an event names, `!GetAtt Queue.Arn`."""
    path = reference.get("Fn::GetAtt", "") if isinstance(reference, dict) else ""
    queue, _, attribute = (path if isinstance(path, str) else ".".join(path)).partition(".")
    if attribute != "Arn":
        raise TemplateError(f"{name} names its queue by {reference!r}: the local run wants !GetAtt <queue>.Arn")
    if template.properties(queue, "AWS::SQS::Queue").get("FifoQueue"):
        raise TemplateError(f"{name} reads a FIFO queue: the local run does not keep the order of its groups")
    return queue


_RATE = re.compile(r"rate\((?:1 (minute|hour|day)|([2-9]|[1-9]\d+) (minute|hour|day)s)\)", re.ASCII)
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_RULE = {"Description", "Enabled", "Input", "Name", "Schedule", "State"}
_SCHEDULE = {"Description", "FlexibleTimeWindow", "Input", "Name", "ScheduleExpression", "State"}


def schedules(template: Template) -> tuple[Schedule, ...]:
    """Give the schedules that call functions.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-schedule.html
    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-schedulev2.html
    """
    declared = _events(template, "Schedule", "ScheduleV2")
    found = (_schedule(template, *event) for event in declared)
    return tuple(schedule for schedule in found if schedule)


def _schedule(template: Template, function: str, name: str, kind: str, properties: dict[str, Any]) -> Schedule | None:
    is_rule = kind == "Schedule"
    _check_known(name, properties, _RULE if is_rule else _SCHEDULE)
    own = template.resolve(properties)
    period = _period(name, own.get("Schedule" if is_rule else "ScheduleExpression"))
    event = _input(name, own["Input"]) if "Input" in own else None
    if not _is_on(name, own.get("Enabled", own.get("State", "ENABLED"))):
        return None
    return Schedule(function, function + name, "events" if is_rule else "scheduler", period, event)


def _period(name: str, expression: Any) -> float:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rate-expressions.html."""
    rate = _RATE.fullmatch(expression) if isinstance(expression, str) else None
    if rate is None:
        raise TemplateError(f"{name} runs at {expression!r}: the local run knows rate(n minutes, hours, days) only")
    return float(int(rate[2] or 1) * _SECONDS[rate[1] or rate[3]])


def _input(name: str, text: Any) -> Any:
    if not isinstance(text, str) or "<aws.scheduler." in text:
        raise TemplateError(f"the input of {name} is no plain JSON text")
    try:
        return json.loads(text)
    except ValueError as error:
        raise TemplateError(f"the input of {name} is no JSON: {error}") from error


def _is_on(name: str, value: Any) -> bool:
    switch = {"true": True, "false": False, "ENABLED": True, "DISABLED": False}
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text not in switch:
        raise TemplateError(f"{name} is neither on nor off: {value!r}")
    return switch[text]


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", str(value)) or not least <= int(value) <= most:
        raise TemplateError(f"{name} has {value!r} where a whole number from {least} to {most} belongs")
    return int(value)


def _check_known(name: str, properties: Mapping[str, Any], known: set[str]) -> None:
    if unknown := properties.keys() - known:
        raise TemplateError(f"the local run does not know {', '.join(sorted(unknown))} of {name}")


_PIPE = {"Description", "RoleArn", "Source", "SourceParameters", "Target", "TargetParameters"}
_STREAM = {
    "BatchSize",
    "MaximumRetryAttempts",
    "OnPartialBatchItemFailure",
    "StartingPosition",
}
_UNUSED = {"DeadLetterConfig"}
"""What the local run has no use for: what the bus does not take is tried for ever."""
_PATH = re.compile(r'"<\$(?:\.\w+)+>"', re.ASCII)


def pipes(template: Template) -> tuple[Pipe, ...]:
    """Give the pipes; the physical values must hold the ARNs of their streams and buses.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-pipes-pipe.html
    """
    return tuple(_pipe(template, name, own) for name, own in template.of_type("AWS::Pipes::Pipe").items())


def _pipe(template: Template, name: str, properties: dict[str, Any]) -> Pipe:
    _check_known(name, properties, _PIPE)
    source, target = (properties.get(part, {}) for part in ("SourceParameters", "TargetParameters"))
    _check_known(name, source, {"DynamoDBStreamParameters", "FilterCriteria"})
    _check_known(name, target, {"EventBridgeEventBusParameters", "InputTemplate"})
    used = {key: value for key, value in source.get("DynamoDBStreamParameters", {}).items() if key not in _UNUSED}
    stream, bus = template.resolve(used), template.resolve(target.get("EventBridgeEventBusParameters", {}))
    _check_known(name, stream, _STREAM)
    _check_known(name, bus, {"DetailType", "Source"})
    filters = template.resolve(source.get("FilterCriteria", {"Filters": [{"Pattern": "{}"}]}))["Filters"]
    return Pipe(
        stream_arn=template.resolve(properties["Source"]),
        position=stream["StartingPosition"],
        batch_size=_whole(name, stream.get("BatchSize", 1), 1, 10),
        patterns=tuple(_json_object(name, own["Pattern"]) for own in filters),
        bus=template.resolve(properties["Target"]),
        source=bus["Source"],
        detail_type=bus["DetailType"],
        input_template=_input_template(name, template.resolve(target.get("InputTemplate"))),
    )


def _json_object(name: str, text: Any) -> dict[str, Any]:
    value = _input(name, text)
    if not isinstance(value, dict):
        raise TemplateError(f"a pattern of {name} is no JSON object")
    return value


def _input_template(name: str, text: Any) -> str:
    """Let pass what can be filled in without knowing more of how a pipe does it: texts, in quotes."""
    if not isinstance(text, str) or "<" in _PATH.sub("", text):
        raise TemplateError(f'the input template of {name} has something else than "<$.paths>" in quotes')
    _json_object(name, _PATH.sub('""', text))
    return text


def api_cors(template: Template) -> Cors | None:
    """Give the CORS configuration of the HTTP API, if it has one."""
    apis = template.of_type("AWS::Serverless::HttpApi")
    shared = template.document.get("Globals", {}).get("HttpApi", {})
    declared = [{**shared, **own}.get("CorsConfiguration") for own in apis.values()]
    if len(declared) != 1:
        raise TemplateError(f"the local run serves one HTTP API, the template has {len(declared)}")
    if declared[0] is None:
        return None
    configured = template.resolve(declared[0])
    return Cors(
        origins=tuple(configured.get("AllowOrigins", ())),
        methods=tuple(configured.get("AllowMethods", ())),
        headers=tuple(configured.get("AllowHeaders", ())),
        expose=tuple(configured.get("ExposeHeaders", ())),
        credentials=bool(configured.get("AllowCredentials", False)),
        max_age=configured.get("MaxAge"),
    )


def edge_behaviours(template: Template, logical_id: str = "Distribution") -> list[Behaviour]:
    """Give the distribution's cache behaviours in the order they are tried; the default, `*`, comes last."""
    config = template.properties(logical_id, "AWS::CloudFront::Distribution")["DistributionConfig"]
    default = {**config["DefaultCacheBehavior"], "PathPattern": "*"}
    return [_behaviour(template, declared) for declared in (*config.get("CacheBehaviors", ()), default)]


_BEHAVIOUR = {
    "AllowedMethods",
    "CachePolicyId",
    "PathPattern",
    "ResponseHeadersPolicyId",
    "TargetOriginId",
    "TrustedKeyGroups",
    "ViewerProtocolPolicy",
}
"""What else a behaviour could have changes what reaches the bucket or comes back from it: an origin request policy lets
more of the query through, a function rewrites."""


def _behaviour(template: Template, declared: dict[str, Any]) -> Behaviour:
    _check_known(f"the behaviour for {declared['PathPattern']}", declared, _BEHAVIOUR)
    policy = _referred(template, declared.get("ResponseHeadersPolicyId"), "ResponseHeadersPolicy")
    headers = list(_headers(policy))
    return Behaviour(
        path_pattern=template.resolve(declared["PathPattern"]),
        headers={name: value for name, value, override in headers if override},
        default_headers={name: value for name, value, override in headers if not override},
        cors=_edge_cors(policy.get("CorsConfig")),
        query_strings=_query_strings(_referred(template, declared.get("CachePolicyId"), "CachePolicy")),
        signed="TrustedKeyGroups" in declared,
    )


def _referred(template: Template, reference: Any, kind: str) -> dict[str, Any]:
    """Give the resolved configuration of the policy that a behaviour refers to; none is an empty one."""
    if reference is None:
        return {}
    if not isinstance(reference, dict) or reference.keys() != {"Ref"}:
        raise TemplateError(f"a behaviour names its {kind} by {reference!r}: the local run wants !Ref")
    properties = template.properties(reference["Ref"], f"AWS::CloudFront::{kind}")
    config: dict[str, Any] = template.resolve(properties[f"{kind}Config"])
    return config


def _query_strings(policy: dict[str, Any]) -> tuple[str, ...]:
    config = policy.get("ParametersInCacheKeyAndForwardedToOrigin", {}).get("QueryStringsConfig", {})
    behaviour = config.get("QueryStringBehavior", "none")
    if behaviour not in ("none", "whitelist"):
        raise TemplateError(f"the local edge does not know the query string behaviour {behaviour}")
    return tuple(config.get("QueryStrings", ())) if behaviour == "whitelist" else ()


_HEADERS_POLICY = {"Comment", "CorsConfig", "CustomHeadersConfig", "Name", "SecurityHeadersConfig"}


def _headers(policy: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield name, value and override of each header that a response headers policy adds."""
    if unknown := policy.keys() - _HEADERS_POLICY:
        raise TemplateError(f"the local edge does not know {', '.join(sorted(unknown))} in a headers policy")
    for name, own in policy.get("SecurityHeadersConfig", {}).items():
        header, value = _security_header(name, own)
        yield header, value, bool(own["Override"])
    for item in policy.get("CustomHeadersConfig", {}).get("Items", ()):
        yield item["Header"], item["Value"], bool(item["Override"])


def _security_header(name: str, own: dict[str, Any]) -> tuple[str, str]:
    """https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/understanding-response-headers-policies.html."""
    match name:
        case "ContentTypeOptions":
            return "X-Content-Type-Options", "nosniff"
        case "ContentSecurityPolicy":
            return "Content-Security-Policy", own["ContentSecurityPolicy"]
        case "FrameOptions":
            return "X-Frame-Options", own["FrameOption"]
        case "ReferrerPolicy":
            return "Referrer-Policy", own["ReferrerPolicy"]
        case "StrictTransportSecurity":
            subdomains = "; includeSubDomains" if own.get("IncludeSubdomains") else ""
            preload = "; preload" if own.get("Preload") else ""
            return (
                "Strict-Transport-Security",
                f"max-age={own['AccessControlMaxAgeSec']}{subdomains}{preload}",
            )
        case _:
            raise TemplateError(f"the local edge does not know the security header {name}")


def _edge_cors(config: dict[str, Any] | None) -> Cors | None:
    if config is None:
        return None
    return Cors(
        origins=_items(config, "AccessControlAllowOrigins"),
        methods=_items(config, "AccessControlAllowMethods"),
        headers=_items(config, "AccessControlAllowHeaders"),
        expose=_items(config, "AccessControlExposeHeaders"),
        credentials=bool(config["AccessControlAllowCredentials"]),
        max_age=config.get("AccessControlMaxAgeSec"),
    )


def _items(config: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(config.get(name, {}).get("Items", ()))

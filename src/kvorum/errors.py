"""The error families, and etcd's own codes and texts as data.

The tree is small on purpose:

    KvorumError
    ├── RequestError       the caller's act is refused; the member is well
    ├── UnavailableError   no leader, stopping, timed out; says whether a write may have happened
    ├── ConfigError        a flag, variable or key has a value that cannot be
    ├── DecodeError        bytes that are not the message they should be
    └── CorruptionError    a file is damaged; the member stops

`RequestError` and `UnavailableError` have one leaf for each text a client of etcd can see. The
server writes `code` and `text`; the client reads them back into the same class (`from_wire`).

Source: etcd api/v3rpc/rpctypes/error.go; shared facts, client.md section 3.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Code(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @property
    def go_name(self) -> str:
        """The name as Go's grpc prints it (`InvalidArgument`)."""
        if self is Code.OK:
            return "OK"
        if self is Code.CANCELLED:
            return "Canceled"
        return "".join(part.capitalize() for part in self.name.split("_"))


class KvorumError(Exception):
    """Base of every error that Kvorum raises on purpose."""


class WireError(KvorumError):
    """An error with a gRPC status. `text` and `code` are etcd's own, byte for byte."""

    code: ClassVar[Code] = Code.UNKNOWN
    text: ClassVar[str] = ""

    def __init__(self, text: str | None = None) -> None:
        self.message = self.text if text is None else text
        super().__init__(self.message)


class RequestError(WireError):
    """The request is refused; the member is well, and nothing was changed."""


class UnavailableError(WireError):
    """The member could not answer. `maybe_done` tells whether a write may have happened."""

    code = Code.UNAVAILABLE
    maybe_done: ClassVar[bool] = False


class ConfigError(KvorumError):
    """A flag, variable or configuration key has a value that cannot be used."""


class DecodeError(KvorumError):
    """Bytes that are not the message they should be."""


class CorruptionError(KvorumError):
    """A file is damaged. The text says where, what was found, and what to do."""

    def __init__(self, path: object, offset: int | None, reason: str, advice: str = "") -> None:
        where = f"{path}" if offset is None else f"{path} at offset {offset}"
        super().__init__(f"{where}: {reason}" + (f"; {advice}" if advice else ""))
        self.path, self.offset, self.reason, self.advice = path, offset, reason, advice


class StatusError(RequestError):
    """A status that has no class of its own: transport limits, or a text we do not know."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.status = Code(code)


_BY_STATUS: dict[tuple[Code, str], type[WireError]] = {}


def _request(name: str, code: Code, text: str, doc: str) -> type[RequestError]:
    cls = type(name, (RequestError,), {"code": code, "text": text, "__doc__": doc})
    _BY_STATUS[code, text] = cls
    return cls


def _unavailable(
    name: str, text: str, doc: str, *, maybe_done: bool = False, code: Code = Code.UNAVAILABLE
) -> type[UnavailableError]:
    cls = type(
        name,
        (UnavailableError,),
        {"code": code, "text": text, "__doc__": doc, "maybe_done": maybe_done},
    )
    _BY_STATUS[code, text] = cls
    return cls


def status_of(error: WireError) -> Code:
    """The gRPC code to send for `error`."""
    return error.status if isinstance(error, StatusError) else error.code


def from_wire(code: int, text: str) -> WireError:
    """The error that a server's status stands for."""
    cls = _BY_STATUS.get((Code(code), text))
    return StatusError(code, text) if cls is None else cls()


EmptyKeyError = _request(
    "EmptyKeyError",
    Code.INVALID_ARGUMENT,
    "etcdserver: key is not provided",
    "A key is empty where one is needed.",
)
KeyNotFoundError = _request(
    "KeyNotFoundError",
    Code.INVALID_ARGUMENT,
    "etcdserver: key not found",
    "The key is missing for ignore_value or ignore_lease, or a txn operation is empty.",
)
ValueProvidedError = _request(
    "ValueProvidedError",
    Code.INVALID_ARGUMENT,
    "etcdserver: value is provided",
    "ignore_value was set together with a value.",
)
LeaseProvidedError = _request(
    "LeaseProvidedError",
    Code.INVALID_ARGUMENT,
    "etcdserver: lease is provided",
    "ignore_lease was set together with a lease.",
)
TooManyOpsError = _request(
    "TooManyOpsError",
    Code.INVALID_ARGUMENT,
    "etcdserver: too many operations in txn request",
    "A txn has more operations than --max-txn-ops.",
)
DuplicateKeyError = _request(
    "DuplicateKeyError",
    Code.INVALID_ARGUMENT,
    "etcdserver: duplicate key given in txn request",
    "A txn would change one key twice.",
)
InvalidClientApiVersionError = _request(
    "InvalidClientApiVersionError",
    Code.INVALID_ARGUMENT,
    "etcdserver: invalid client api version",
    "The client-api-version metadata is not UTF-8.",
)
InvalidSortOptionError = _request(
    "InvalidSortOptionError",
    Code.INVALID_ARGUMENT,
    "etcdserver: invalid sort option",
    "Sort order or target is not in its enum.",
)
CompactedError = _request(
    "CompactedError",
    Code.OUT_OF_RANGE,
    "etcdserver: mvcc: required revision has been compacted",
    "The revision asked for is below the compaction revision.",
)
FutureRevisionError = _request(
    "FutureRevisionError",
    Code.OUT_OF_RANGE,
    "etcdserver: mvcc: required revision is a future revision",
    "The revision asked for is above the newest.",
)
NoSpaceError = _request(
    "NoSpaceError",
    Code.RESOURCE_EXHAUSTED,
    "etcdserver: mvcc: database space exceeded",
    "The storage quota is used up.",
)
LeaseNotFoundError = _request(
    "LeaseNotFoundError",
    Code.NOT_FOUND,
    "etcdserver: requested lease not found",
    "No lease has this id.",
)
LeaseExistsError = _request(
    "LeaseExistsError",
    Code.FAILED_PRECONDITION,
    "etcdserver: lease already exists",
    "A lease has this id.",
)
LeaseTtlTooLargeError = _request(
    "LeaseTtlTooLargeError",
    Code.OUT_OF_RANGE,
    "etcdserver: too large lease TTL",
    "The TTL is above 9,000,000,000 seconds.",
)
MemberExistsError = _request(
    "MemberExistsError",
    Code.FAILED_PRECONDITION,
    "etcdserver: member ID already exist",
    "A member has this id.",
)
PeerUrlExistsError = _request(
    "PeerUrlExistsError",
    Code.FAILED_PRECONDITION,
    "etcdserver: Peer URLs already exists",
    "A member has one of these peer URLs.",
)
MemberNotEnoughStartedError = _request(
    "MemberNotEnoughStartedError",
    Code.UNKNOWN,
    "etcdserver: re-configuration failed due to not enough started members",
    "The change would leave too few started members.",
)
MemberBadUrlsError = _request(
    "MemberBadUrlsError",
    Code.INVALID_ARGUMENT,
    "etcdserver: given member URLs are invalid",
    "A peer URL is not one.",
)
MemberNotFoundError = _request(
    "MemberNotFoundError",
    Code.NOT_FOUND,
    "etcdserver: member not found",
    "No member has this id.",
)
MemberNotLearnerError = _request(
    "MemberNotLearnerError",
    Code.FAILED_PRECONDITION,
    "etcdserver: can only promote a learner member",
    "The member to promote votes already.",
)
LearnerNotReadyError = _request(
    "LearnerNotReadyError",
    Code.FAILED_PRECONDITION,
    "etcdserver: can only promote a learner member which is in sync with leader",
    "The learner is too far behind.",
)
TooManyLearnersError = _request(
    "TooManyLearnersError",
    Code.FAILED_PRECONDITION,
    "etcdserver: too many learner members in cluster",
    "The cluster has --max-learners learners.",
)
ClusterIdMismatchError = _request(
    "ClusterIdMismatchError",
    Code.FAILED_PRECONDITION,
    "etcdserver: cluster ID mismatch",
    "The request was meant for another cluster.",
)
RequestTooLargeError = _request(
    "RequestTooLargeError",
    Code.INVALID_ARGUMENT,
    "etcdserver: request is too large",
    "The request is above --max-request-bytes.",
)
TooManyRequestsError = _request(
    "TooManyRequestsError",
    Code.UNKNOWN,
    "etcdserver: too many requests",
    "Too much waits to be applied. Nothing was done; a retry is safe.",
)
RootUserNotExistError = _request(
    "RootUserNotExistError",
    Code.FAILED_PRECONDITION,
    "etcdserver: root user does not exist",
    "Authentication needs a root user.",
)
RootRoleNotGrantedError = _request(
    "RootRoleNotGrantedError",
    Code.FAILED_PRECONDITION,
    "etcdserver: root user does not have root role",
    "Authentication needs the root role on root.",
)
UserExistsError = _request(
    "UserExistsError",
    Code.FAILED_PRECONDITION,
    "etcdserver: user name already exists",
    "A user has this name.",
)
UserEmptyError = _request(
    "UserEmptyError",
    Code.INVALID_ARGUMENT,
    "etcdserver: user name is empty",
    "The user name is empty, or no token came while authentication is on.",
)
UserNotFoundError = _request(
    "UserNotFoundError",
    Code.FAILED_PRECONDITION,
    "etcdserver: user name not found",
    "No user has this name.",
)
RoleExistsError = _request(
    "RoleExistsError",
    Code.FAILED_PRECONDITION,
    "etcdserver: role name already exists",
    "A role has this name.",
)
RoleNotFoundError = _request(
    "RoleNotFoundError",
    Code.FAILED_PRECONDITION,
    "etcdserver: role name not found",
    "No role has this name.",
)
RoleEmptyError = _request(
    "RoleEmptyError",
    Code.INVALID_ARGUMENT,
    "etcdserver: role name is empty",
    "The role name is empty.",
)
AuthFailedError = _request(
    "AuthFailedError",
    Code.INVALID_ARGUMENT,
    "etcdserver: authentication failed, invalid user ID or password",
    "Wrong user or password.",
)
PermissionNotGivenError = _request(
    "PermissionNotGivenError",
    Code.INVALID_ARGUMENT,
    "etcdserver: permission not given",
    "A grant names no permission.",
)
PermissionDeniedError = _request(
    "PermissionDeniedError",
    Code.PERMISSION_DENIED,
    "etcdserver: permission denied",
    "The user may not do this.",
)
RoleNotGrantedError = _request(
    "RoleNotGrantedError",
    Code.FAILED_PRECONDITION,
    "etcdserver: role is not granted to the user",
    "The user does not have this role.",
)
PermissionNotGrantedError = _request(
    "PermissionNotGrantedError",
    Code.FAILED_PRECONDITION,
    "etcdserver: permission is not granted to the role",
    "The role does not have this permission.",
)
AuthNotEnabledError = _request(
    "AuthNotEnabledError",
    Code.FAILED_PRECONDITION,
    "etcdserver: authentication is not enabled",
    "Authentication is off.",
)
InvalidAuthTokenError = _request(
    "InvalidAuthTokenError",
    Code.UNAUTHENTICATED,
    "etcdserver: invalid auth token",
    "The token is unknown or has expired.",
)
InvalidAuthMgmtError = _request(
    "InvalidAuthMgmtError",
    Code.INVALID_ARGUMENT,
    "etcdserver: invalid auth management",
    "The change would lock root out.",
)
AuthOldRevisionError = _request(
    "AuthOldRevisionError",
    Code.INVALID_ARGUMENT,
    "etcdserver: revision of auth store is old",
    "Users or roles changed since the request was checked.",
)
NotLeaderError = _request(
    "NotLeaderError",
    Code.FAILED_PRECONDITION,
    "etcdserver: not leader",
    "Only the leader answers this.",
)
BadLeaderTransfereeError = _request(
    "BadLeaderTransfereeError",
    Code.FAILED_PRECONDITION,
    "etcdserver: bad leader transferee",
    "The target of the transfer is no voter.",
)
WrongDowngradeVersionError = _request(
    "WrongDowngradeVersionError",
    Code.INVALID_ARGUMENT,
    "etcdserver: wrong downgrade target version format",
    "The target version is not X.Y.",
)
InvalidDowngradeTargetError = _request(
    "InvalidDowngradeTargetError",
    Code.INVALID_ARGUMENT,
    "etcdserver: invalid downgrade target version",
    "The target is not one minor version lower.",
)
DowngradeInProgressError = _request(
    "DowngradeInProgressError",
    Code.FAILED_PRECONDITION,
    "etcdserver: cluster has a downgrade job in progress",
    "A downgrade runs already.",
)
NoInflightDowngradeError = _request(
    "NoInflightDowngradeError",
    Code.FAILED_PRECONDITION,
    "etcdserver: no inflight downgrade job",
    "No downgrade runs.",
)
NotCapableError = _request(
    "NotCapableError",
    Code.FAILED_PRECONDITION,
    "etcdserver: not capable",
    "The cluster version does not have this call yet.",
)
CorruptClusterError = _request(
    "CorruptClusterError",
    Code.DATA_LOSS,
    "etcdserver: corrupt cluster",
    "Members disagree about the data.",
)
WatchCanceledError = _request(
    "WatchCanceledError",
    Code.CANCELLED,
    "etcdserver: watch canceled",
    "The server ended the watch stream.",
)
RequestCanceledError = _request(
    "RequestCanceledError",
    Code.CANCELLED,
    "etcdserver: request canceled",
    "The client gave the request up.",
)
NoLeaderError = _unavailable(
    "NoLeaderError",
    "etcdserver: no leader",
    "The member knows no leader.",
)
LeaderChangedError = _unavailable(
    "LeaderChangedError",
    "etcdserver: leader changed",
    "The leader changed while the request waited.",
    maybe_done=True,
)
StoppedError = _unavailable(
    "StoppedError",
    "etcdserver: server stopped",
    "The member is stopping.",
    maybe_done=True,
)
RequestTimeoutError = _unavailable(
    "RequestTimeoutError",
    "etcdserver: request timed out",
    "The request took too long.",
    maybe_done=True,
)
TimeoutLeaderFailError = _unavailable(
    "TimeoutLeaderFailError",
    "etcdserver: request timed out, possibly due to previous leader failure",
    "The leader was lost while the request waited.",
    maybe_done=True,
)
TimeoutConnectionLostError = _unavailable(
    "TimeoutConnectionLostError",
    "etcdserver: request timed out, possibly due to connection lost",
    "The majority is out of reach.",
    maybe_done=True,
)
TimeoutApplyError = _unavailable(
    "TimeoutApplyError",
    "etcdserver: request timed out, waiting for the applied index took too long",
    "Apply is behind.",
)
UnhealthyClusterError = _unavailable(
    "UnhealthyClusterError",
    "etcdserver: unhealthy cluster",
    "Too few members are connected.",
)
DeadlineError = _unavailable(
    "DeadlineError",
    "etcdserver: context deadline exceeded",
    "The client's deadline passed.",
    maybe_done=True,
    code=Code.DEADLINE_EXCEEDED,
)
NotSupportedForLearnerError = _unavailable(
    "NotSupportedForLearnerError",
    "etcdserver: rpc not supported for learner",
    "A learner does not answer this; a voter does.",
    code=Code.FAILED_PRECONDITION,
)
OldLearnerError = _unavailable(
    "OldLearnerError",
    "etcdserver: rpc not supported for learner",
    "NotSupportedForLearnerError, as members before 3.6 say it.",
)

# What clients of the lock and election services are told. Source: 3.5.1, through a gRPC client.
SessionExpiredError = _request(
    "SessionExpiredError",
    Code.UNKNOWN,
    "mutex: session is expired",
    "The lease, and with it the key, was gone before the lock was got.",
)
NoElectionLeaderError = _request(
    "NoElectionLeaderError",
    Code.UNKNOWN,
    "election: no leader",
    "Nobody stands in this election.",
)
NotElectionLeaderError = _request(
    "NotElectionLeaderError",
    Code.UNKNOWN,
    "election: not leader",
    "The key that made the caller leader is gone, or another.",
)
LeaderMissingError = _request(
    "LeaderMissingError",
    Code.UNKNOWN,
    '"leader" field must be provided',
    "The request does not tell which leadership it is about.",
)

"""Message classes from descriptors, in a pool of our own.

The default descriptor pool holds one definition of each message name for a whole process. A
program that imports Kvorum beside another etcd library (python-etcd3, aetcd) would have two
definitions of `etcdserverpb.PutRequest`, which is an error there. So ours live in a private pool.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

POOL = descriptor_pool.DescriptorPool()


def build(namespace: dict[str, Any], serialized_file: bytes) -> None:
    """Add a file to the pool, and its messages and enums to a module's namespace."""
    POOL.AddSerializedFile(serialized_file)
    file = POOL.FindFileByName(
        namespace["__name__"].replace(".", "/").removesuffix("_pb2") + ".proto"
    )
    namespace["DESCRIPTOR"] = file
    for name, message in file.message_types_by_name.items():
        namespace[name] = message_factory.GetMessageClass(message)
    for name, enum in file.enum_types_by_name.items():
        _add_enum(namespace, name, enum)


def _add_enum(namespace: dict[str, Any], name: str, enum: EnumDescriptor) -> None:
    namespace[name] = EnumTypeWrapper(enum)
    for value in enum.values:
        namespace[value.name] = value.number

"""The JSON gateway: every method of every service as `POST` of JSON.

A request is decoded (`decode`), its method called in this process (`unary`, `stream`), and what
comes back is encoded (`encode`) in the manner of the version that the member presents (`dialect`).
There is no second connection: the methods are those of the gRPC side, by path.

Source: etcd's use of grpc-gateway; shared facts, client.md section 12.
"""

"""The secret with the private keys: what the media proxy signs with, and all that this function remembers."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from pydantic import ConfigDict, TypeAdapter, ValidationError

from inbound.credentials import SigningKey
from inbound.errors import SigningKeysUnreadable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

# There is no such secret, or it is about to be deleted.
GONE = frozenset({"ResourceNotFoundException", "InvalidRequestException"})


class StoredKey(SigningKey):
    """A key with the KeyVersion that it was made for; empty for one that an operator put there."""

    version: str = ""


_SHAPE: TypeAdapter[tuple[StoredKey, ...]] = TypeAdapter(
    tuple[StoredKey, ...], config=ConfigDict(hide_input_in_errors=True)
)


class StoredKeys:
    """The secret of one stack."""

    def __init__(self, client: "SecretsManagerClient", secret_id: str) -> None:
        self._client = client
        self._secret_id = secret_id

    def read(self) -> tuple[StoredKey, ...]:
        """Give the keys. Raises `SigningKeysUnreadable` for what is no list of keys, and botocore's errors."""
        answer = self._client.get_secret_value(SecretId=self._secret_id)
        try:
            return _SHAPE.validate_json(answer.get("SecretString", ""))
        except ValidationError:
            raise SigningKeysUnreadable(
                "The signing-key secret holds no list of keys. Restore its previous version, or put [] into it: "
                "then new keys are made, and addresses signed before are void."
            ) from None

    def write(self, keys: tuple[StoredKey, ...], token: str) -> None:
        """Store the keys. Of several writings with the same token (32 to 64 characters) only the first succeeds.

        https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
        """
        text = _SHAPE.dump_json(keys).decode()
        self._client.put_secret_value(SecretId=self._secret_id, SecretString=text, ClientRequestToken=token)

    def empty(self, token: str) -> None:
        """Forget all keys; a secret that is gone has forgotten them."""
        try:
            self.write((), token)
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise

"""The portal as OpenID provider of the hub (OpenID Connect Core 1.0): client, claims, keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from allauth.idp.oidc.models import Client, PrivateKey
from django.conf import settings

from enclave.domain.projects import ProjectState
from enclave.keys import oidc_client_secret, oidc_private_key_pem
from enclave.portal.models import User

HUB_CLIENT = "hub"


class HubIdentity(DefaultOIDCAdapter):  # type: ignore[misc]
    """Who somebody is and where they may work, told to the hub. The signing key is read when it is needed."""

    def get_issuer(self) -> str:
        """The portal's address, whatever the request's host says."""
        return str(settings.ENCLAVE.portal_url)

    def list_private_keys(self, **filters: Any) -> list[PrivateKey]:
        """The one RSA key of ``keys/oidc.key``."""
        return [PrivateKey(pem=oidc_private_key_pem(settings.ENCLAVE))]

    def get_claims(
        self,
        purpose: Literal["id_token", "userinfo"],
        user: User,
        client: Client,
        scopes: Iterable[str],
        email: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """``sub``, ``preferred_username``, ``name``, ``person_id``, ``roles``, ``projects`` (active memberships)."""
        active = user.memberships.filter(project__state=ProjectState.ACTIVE.value)
        return {
            "sub": self.get_user_sub(client, user),
            "preferred_username": user.username,
            "name": str(user),
            "person_id": user.person_id,
            "roles": sorted(user.roles),
            "projects": sorted(active.values_list("project_id", flat=True)),
        }


def synchronise_hub_client() -> None:
    """Create or update the hub's client: its secret, its one redirect address, no consent page."""
    client = Client.objects.filter(id=HUB_CLIENT).first() or Client(id=HUB_CLIENT)
    client.name = "Workspaces"
    client.type = Client.Type.CONFIDENTIAL
    client.skip_consent = True
    client.set_scopes(["openid", "profile"])
    client.set_default_scopes(["openid", "profile"])
    client.set_redirect_uris([f"{settings.ENCLAVE.hub_url}/hub/oauth_callback"])
    client.set_post_logout_redirect_uris([f"{settings.ENCLAVE.portal_url}/"])
    secret = oidc_client_secret(settings.ENCLAVE)
    if not client.check_secret(secret):
        client.set_secret(secret)
    client.save()

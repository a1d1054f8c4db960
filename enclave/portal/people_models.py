"""People, and what an admin ordered for their accounts. Part of ``enclave.portal.models``, which others import."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

from enclave.domain.accounts import Order, OrderKind, OrderState, ReviewState, review_state
from enclave.domain.ids import PersonId, Username, new_person_id
from enclave.domain.people import Person, Role

_UNDECIDED = [OrderState.OPEN.value, OrderState.EXPIRED.value]
_DECIDED = [OrderState.CONFIRMED.value, OrderState.REFUSED.value]


class User(AbstractUser):
    """A named person (EHDS art. 73(1)(a), (d); SATRE 3.2.01). ``username`` has the shape of ``domain.ids.Username``."""

    person_id = models.CharField(max_length=14, unique=True, default=new_person_id, editable=False)
    display_name = models.CharField(max_length=120, blank=True)
    roles = models.JSONField(default=list)
    """List of ``Role`` values."""
    tokens_valid_from = models.BigIntegerField(default=0)
    """Unix seconds: a token issued earlier is refused."""
    must_change_password = models.BooleanField(default=False)
    """Somebody else has seen the password: until the person chooses their own, nothing opens."""
    reviewed_at = models.DateTimeField(null=True, blank=True)
    """When somebody last confirmed that this access is still right; None: never since the account was made."""
    reviewed_by = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta(AbstractUser.Meta):
        constraints = (
            models.CheckConstraint(
                condition=models.Q(reviewed_by__isnull=True, reviewed_at__isnull=True)
                | (models.Q(reviewed_at__isnull=False) & ~models.Q(reviewed_by=models.F("id"))),
                name="nobody_reviews_own_access",
            ),
        )

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def role_set(self) -> frozenset[Role]:
        """``roles`` as enum members."""
        return frozenset(Role(role) for role in self.roles)

    @property
    def last_reviewed_at(self) -> datetime:
        """From when the year of the access review counts: the last review, or the account's making."""
        return self.reviewed_at or self.date_joined

    def review_state_at(self, now: datetime) -> ReviewState:
        """Whether somebody has to look at this access (CNIL, *entrepôts de données de santé*: every year)."""
        return review_state(self.last_reviewed_at, self.is_active, now)

    def as_person(self) -> Person:
        """The frozen value that access files and rules use. Not active before the password is the person's own."""
        return Person(
            id=PersonId(self.person_id),
            username=Username(self.username),
            roles=self.role_set,
            active=self.is_active and not self.must_change_password,
            tokens_valid_from=self.tokens_valid_from,
        )


class AccountOrder(models.Model):
    """What an admin ordered for somebody's account. The constraints back the rules of ``domain.accounts``."""

    about = models.ForeignKey(User, on_delete=models.PROTECT, related_name="account_orders")
    kind = models.CharField(max_length=10)
    """``OrderKind`` value."""
    role = models.CharField(max_length=30, blank=True)
    """Of ``add-role`` the role; else empty."""
    reason = models.TextField()
    state = models.CharField(max_length=10, default=OrderState.OPEN.value, db_index=True)
    sealed_half = models.TextField(blank=True)
    """Of an open reset the admin's half of the first password, encrypted; emptied with the decision."""
    ordered_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    ordered_at = models.DateTimeField(default=timezone.now)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-ordered_at", "-pk")
        constraints = (
            models.CheckConstraint(condition=~models.Q(ordered_by=models.F("about")), name="nobody_orders_for_own"),
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=True)
                | (~models.Q(decided_by=models.F("ordered_by")) & ~models.Q(decided_by=models.F("about"))),
                name="account_order_by_two_people",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=_UNDECIDED, decided_by__isnull=True)
                | models.Q(state__in=_DECIDED, decided_by__isnull=False, sealed_half=""),
                name="account_order_decided_by_somebody",
            ),
            models.UniqueConstraint(
                fields=["about", "kind", "role"],
                condition=models.Q(state=OrderState.OPEN.value),
                name="one_open_account_order",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.role}".strip()

    def as_order(self) -> Order:
        """The frozen value of the rules."""
        return Order(
            kind=OrderKind(self.kind),
            role=Role(self.role) if self.role else None,
            ordered_by=self.ordered_by.as_person(),
            about=self.about.as_person(),
            ordered_at=self.ordered_at,
            state=OrderState(self.state),
        )

    def state_at(self, now: datetime) -> OrderState:
        """The stored state, or ``EXPIRED``."""
        return self.as_order().state_at(now)

"""Django's settings, derived from ``enclave.settings``. Importing this creates nothing: no folder, no key, no file.

Without a ``keys/`` folder (type checker, tests before ``ensure_keys``) the session key is a random one of this process,
so that nothing is ever signed with a known value.
"""

from __future__ import annotations

import secrets

from enclave.keys import KeyMissingError, django_secret
from enclave.portal.database_address import database_settings
from enclave.settings import REPOSITORY, Settings, get_settings

ENCLAVE: Settings = get_settings()
_HTTPS = ENCLAVE.scheme == "https"
_EGRESS_REVIEW = (REPOSITORY / "egress_review" / "apps.py").exists()


def _secret_key() -> str:
    try:
        return django_secret(ENCLAVE)
    except KeyMissingError:
        return secrets.token_hex(32)


SECRET_KEY = _secret_key()
DEBUG = False
# The edge passes on only the portal's name; the other two are what our own processes say on the unix socket.
ALLOWED_HOSTS = [ENCLAVE.portal_name, "portal", "localhost"]
ROOT_URLCONF = "enclave.portal.urls"
WSGI_APPLICATION = "enclave.portal.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "portal.User"
DATABASES = {"default": database_settings(ENCLAVE)}
# One gunicorn worker with threads: rate limits and used second-factor codes are counted in one place.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "enclave.portal.apps.PortalConfig",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.idp.oidc",
    *(["egress_review.apps.EgressReviewConfig"] if _EGRESS_REVIEW else []),
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "enclave.portal.middleware.ResponseHeaders",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "enclave.portal.middleware.DeclaredPermissions",
    "enclave.portal.middleware.OwnCredentialsRequired",
    "enclave.portal.middleware.ErrorPages",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "enclave.portal.page_context.page",
            ]
        },
    }
]

LANGUAGE_CODE = ENCLAVE.site_language
LANGUAGES = [("en", "English"), ("fr", "Français")]
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LOCALE_PATHS = [REPOSITORY / "enclave" / "portal" / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["enclave.portal.formats"]

STATIC_URL = "/static/"
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 300

SESSION_COOKIE_NAME = "enclave_portal"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_DOMAIN = None  # host-only: never sent to the origin of the workspaces
SESSION_COOKIE_AGE = 10 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_COOKIE_NAME = "enclave_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = _HTTPS
CSRF_FAILURE_VIEW = "enclave.portal.views.errors.csrf_failed"
CSRF_TRUSTED_ORIGINS = [ENCLAVE.portal_url]
# The edge is the only way in and sets these headers itself after stripping what a browser sent.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 2_000_000
MESSAGE_TAGS = {20: "info", 25: "good", 30: "wait", 40: "bad"}

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",  # memory-hard; N=2^14, r=8, p=5 (OWASP)
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/accounts/login/"

ALLAUTH_TRUSTED_PROXY_COUNT = 1
ACCOUNT_ADAPTER = "enclave.portal.accounts.ClosedAccounts"
ACCOUNT_FORMS = {
    "login": "enclave.portal.forms.NameAndPasswordForm",
    "change_password": "enclave.portal.forms.OwnPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "20/m/ip,5/300s/key"}
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = ENCLAVE.scheme
MFA_ADAPTER = "enclave.portal.accounts.EncryptedSecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = ENCLAVE.hospital
MFA_TOTP_TOLERANCE = 1
IDP_OIDC_ADAPTER = "enclave.portal.identity.HubIdentity"
IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN = 600

# Operators' lines on standard error, without request bodies; the audit log is another thing.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

"""Settings of the workspace's own Label Studio; they run in its environment, without sixrayd."""

import hmac
import json
import logging
import os
import re
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread

from django.db.models import JSONField
from django.db.models.signals import post_delete, post_init
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden

_NEXT_TASK = re.compile(r"/api/projects/\d+/next/?|/api/dm/actions/?")
# Where a link of another site may lead; what else is asked for so may take long, or change things.
_PAGES = re.compile(r"/(?:projects/.*|user/.*)?")
# Views that do little for whoever asks; those without a name are static files.
_FOR_ANYBODY = {None, "main", "user-login", "user-signup", "version", "api-version", "health"}
_FOR_ANYBODY |= {"token_refresh"}
_TO_SIGN_IN = ("/user/", "/api/token/")  # what is sent there is read before it is known who sends
_LENGTH_OF_FORM = re.compile(r"[0-9]{0,5}")  # bytes, as a header says
_BIT = 1 << 16  # bytes
# A table as wide as is asked for, and tips from another site: of no use to reviewers.
_FOR_NOBODY = {"static_time_series", "heidi_tips"}
_READ_ALONE = {"session-policy"}  # it would have everybody sign in each minute
_NOT_FOR_OWNER = {"current-user-reset-token"}  # our commands have the one that is there
# What fetches images with the owner's token, from where the request says that this server is.
_EXPORTS = re.compile(r"/api/projects/\d+/exports?\b")
_TOKEN = re.compile(r"(?<=\btoken=)[^&\s\"']+")
_LONGEST_LINE, _LONGEST_LOG = 2000, 64 << 20  # signs, bytes; anybody who asks adds to it
# Run here, not imported: it loads parts that ask the settings in force for what it has set so far.
_SHIPPED = "label_studio.core.settings.label_studio"
exec(find_spec(_SHIPPED).loader.get_code(_SHIPPED))  # type: ignore # noqa: S102
MIDDLEWARE = ["sixrayd_settings.OwnPages", *MIDDLEWARE]  # type: ignore # noqa: F821
MIDDLEWARE.append("sixrayd_settings.SignedIn")
MIDDLEWARE.remove("core.middleware.ContextLogMiddleware")  # parses whatever anybody sends
if "sqlite" in DATABASES["default"]["ENGINE"]:  # type: ignore # noqa: F821
    MIDDLEWARE.append("sixrayd_settings.TasksInTurn")
else:
    from sixrayd_rows import hold  # type: ignore[import-not-found]

    Thread(target=hold, daemon=True).start()
TEMPLATES[0]["DIRS"].insert(0, str(Path(__file__).parent / "templates"))  # type: ignore # noqa: F821
TEMPLATES[0]["OPTIONS"]["context_processors"].append("sixrayd_settings.where_to_work")  # type: ignore # noqa: F821
LOGGING["filters"] = {"sixrayd": {"()": "sixrayd_settings.OwnLog"}}  # type: ignore # noqa: F821
LOGGING["handlers"]["console"]["filters"] = ["sixrayd"]  # type: ignore # noqa: F821
_FROM_DATABASE = JSONField.from_db_value


def _with_whole_signs(field, value, *more):  # type: ignore[no-untyped-def]
    """What a column of JSON says, without halves of signs: they have no UTF-8, so that one answer
    with one would end every export of its project. SQLite takes them, as `\\ud800`."""
    said = _FROM_DATABASE(field, value, *more)
    if isinstance(value, str) and "\\ud" in value.lower():
        said = json.loads(json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"))
    return said


JSONField.from_db_value = _with_whole_signs


def _without_file(instance, **_):  # type: ignore[no-untyped-def]
    """An export's file goes with it: Label Studio leaves it, so that each pull took room."""
    instance.file.delete(save=False)


post_delete.connect(_without_file, sender="data_export.Export")


def _with_tokens(instance, **_):  # type: ignore[no-untyped-def]
    """Tokens are let in, whatever anybody who signs in has set: our commands have no other way."""
    instance.legacy_api_tokens_enabled = True


post_init.connect(_with_tokens, sender="jwt_auth.JWTSettings", weak=False)


tempfile.tempdir = os.environ.get("SIXRAYD_TEMPORARY")  # of a server, which leaves exports there


def where_to_work(request: HttpRequest) -> dict[str, str]:
    """The project that an invitation leads to, for the pages on which people sign up and in."""
    found = re.match(r"/projects/(\d{1,9})/", request.GET.get("next", ""))
    if found is None:
        return {}
    address = f"{request.scheme}://{request.get_host()}/projects/{found[1]}/data"
    return {"sixrayd_project": found[1], "sixrayd_address": address}


class OwnLog(logging.Filter):
    """Keeps out of the log what lets people sign up, which is in the address of that page.

    Where the log is long it begins anew: whatever anybody asks of the port is written there.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace it in a record, which is kept."""
        said = _TOKEN.sub("…", record.getMessage())
        record.msg, record.args = said[:_LONGEST_LINE], ()
        if os.fstat(2).st_size > _LONGEST_LOG:
            os.ftruncate(2, 0)  # whoever writes to it appends
        return True


class OwnPages:
    """Refuses what pages of other origins send: Label Studio checks that at its sign-in alone.

    Pages on other ports of this machine count, though browsers send them this server's cookies.
    """

    def __init__(self, answer):  # type: ignore[no-untyped-def]
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self._answer(request)
        finally:
            _pass_over(request)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        own = f"{request.scheme}://{request.get_host()}"
        sent = request.headers
        link = request.method == "GET" and sent.get("Sec-Fetch-Dest") == "document"
        followed = link and _PAGES.fullmatch(request.path)
        from_own = sent.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        if sent.get("Origin", own) != own or not (from_own or followed):
            return HttpResponseForbidden("Origin: not this server's")
        fits = _LENGTH_OF_FORM.fullmatch(request.META.get("CONTENT_LENGTH") or "")
        if request.path.startswith(_TO_SIGN_IN) and not fits:
            return HttpResponse("Too large for a form", status=413)
        if request.path == "/sixrayd-proof":  # that it is the server which was started
            key = os.environ["LABEL_STUDIO_USER_TOKEN"]
            said = f"{request.META['SERVER_PORT']} {request.GET.get('of', '')}"  # not of its Host
            return HttpResponse(hmac.digest(key.encode(), said.encode(), "sha256").hex())
        if _EXPORTS.match(request.path):
            request.META["HTTP_HOST"] = f"127.0.0.1:{request.META['SERVER_PORT']}"
        return self.answer(request)


def _pass_over(request: HttpRequest) -> None:
    """Read what nobody wanted bit by bit: Django's server would, whole, to end the request."""
    with suppress(OSError):
        while request.environ["wsgi.input"].read(_BIT):
            pass


class SignedIn:
    """Lets those who have not signed in do that, and nothing else.

    Label Studio parses, draws and describes at length for whoever asks, so that one line of a
    stranger's took gigabytes.
    """

    def __init__(self, answer):  # type: ignore[no-untyped-def]
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.answer(request)

    def process_view(self, request, view, _, named):  # type: ignore[no-untyped-def]
        """What to answer in place of a view."""
        from django.contrib.auth.views import redirect_to_login  # both need settings
        from rest_framework.permissions import IsAuthenticated

        name, drawn = request.resolver_match.url_name, getattr(view, "cls", None)
        # A model at any address would be told the owner's token.
        changes = name in _READ_ALONE or (name or "").startswith("ml-")
        changes = changes and request.method != "GET"
        # Who takes the owner out of the team takes all projects from our commands.
        to_another = name == "user-detail" and request.method == "PATCH"
        to_another = to_another and named["pk"] != str(request.user.pk)
        owner = os.environ["LABEL_STUDIO_USERNAME"] == getattr(request.user, "email", "")
        if name in _FOR_NOBODY or changes or to_another or (owner and name in _NOT_FOR_OWNER):
            return HttpResponseForbidden("Not served here")
        asks = getattr(drawn, "permission_classes", ())  # a property where it asks in more ways
        asks = isinstance(asks, property) or IsAuthenticated in asks
        if name in _FOR_ANYBODY or request.user.is_authenticated or asks:
            return None
        if drawn:
            return HttpResponse("Sign in first", status=401)
        return redirect_to_login(request.get_full_path())


class TasksInTurn:
    """Gives out tasks one at a time, where the database is SQLite.

    Label Studio looks for one and then marks it, without a transaction there: two people who ask at
    once would be given the same.
    """

    def __init__(self, answer):  # type: ignore[no-untyped-def]
        self.answer, self.turn = answer, Lock()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        of_next = request.GET.get("id", "next_task") == "next_task"
        if not (of_next and _NEXT_TASK.fullmatch(request.path)):
            return self.answer(request)
        request.body  # noqa: B018 - read first: nobody waits for one who sends slowly
        with self.turn:
            return self.answer(request)

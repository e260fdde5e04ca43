"""The classes of `IPython.display`, for interpreters without IPython."""

from _cellgate.display import (
    DisplayHandle,
    clear_output,
    display,
    publish_display_data,
    update_display,
)

__all__ = [
    "Audio", "Code", "DisplayHandle", "DisplayObject", "FileLink", "FileLinks", "GeoJSON", "HTML",
    "IFrame", "Image", "JSON", "Javascript", "Latex", "Markdown", "Math", "Pretty", "ProgressBar",
    "SVG", "TextDisplayObject", "Video", "YouTubeVideo", "clear_output", "display", "display_html",
    "display_javascript", "display_jpeg", "display_json", "display_latex", "display_markdown",
    "display_pdf", "display_png", "display_pretty", "display_svg", "publish_display_data",
    "set_matplotlib_formats", "update_display",
]  # fmt: skip


def _escape(text):
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = str(text).replace(char, entity)
    return text


def _read(path, binary=False):
    with open(path, "rb") as file:
        data = file.read()
    return data if binary else data.decode()


def _fetch(url, binary=False):
    from urllib.request import urlopen

    with urlopen(url) as answer:
        data = answer.read()
    return data if binary else data.decode()


def _base64(data):
    from binascii import b2a_base64

    return b2a_base64(data, newline=False).decode("ascii")


class DisplayObject:
    """Something to show: given as data, or in a file, or at a URL."""

    _binary = False

    def __init__(self, data=None, url=None, filename=None, metadata=None):
        if hasattr(data, "__fspath__"):
            data, filename = None, data.__fspath__()
        if isinstance(data, str) and self._binary and filename is None and url is None:
            if data.startswith(("http://", "https://")):
                data, url = None, data
            else:
                data, filename = None, data
        self.data, self.url, self.filename = data, url, filename
        self.metadata = metadata or {}
        if data is None:
            self.reload()

    def reload(self):
        """Reads the data anew from its file or URL."""
        if self.filename is not None:
            self.data = _read(self.filename, self._binary)
        elif self.url is not None:
            self.data = _fetch(self.url, self._binary)

    def __repr__(self):
        return "<%s.%s object>" % (type(self).__module__, type(self).__name__)

    def _data_and_metadata(self):
        return (self.data, dict(self.metadata)) if self.metadata else self.data


class TextDisplayObject(DisplayObject):
    """A DisplayObject whose data is text."""


def _text_class(name, method, doc, wrap=None):
    def representation(self):
        if wrap is None:
            return self._data_and_metadata()
        return wrap(self.data)

    space = {method: representation, "__doc__": doc, "__module__": "IPython.core.display"}
    return type(name, (TextDisplayObject,), space)


HTML = _text_class("HTML", "_repr_html_", "HTML to show.")
HTML.__html__ = lambda self: self.data
Markdown = _text_class("Markdown", "_repr_markdown_", "Markdown to show.")
Latex = _text_class("Latex", "_repr_latex_", "LaTeX to show.")
Math = _text_class(
    "Math",
    "_repr_latex_",
    "A formula in LaTeX.",
    lambda text: "$\\displaystyle %s$" % text.strip("$"),
)
SVG = _text_class("SVG", "_repr_svg_", "An SVG drawing.")


class Pretty(TextDisplayObject):
    """Plain text to show."""

    def _repr_pretty_(self, printer, cycle):
        printer.text(self.data)


class Javascript(TextDisplayObject):
    """JavaScript for the client to run, if it does that at all."""

    def __init__(self, data=None, url=None, filename=None, lib=None, css=None):
        self.lib = [lib] if isinstance(lib, str) else list(lib or ())
        self.css = [css] if isinstance(css, str) else list(css or ())
        super().__init__(data=data, url=url, filename=filename)

    def _repr_javascript_(self):
        return self.data


class JSON(DisplayObject):
    """A JSON value to show as a tree."""

    def __init__(
        self, data=None, url=None, filename=None, expanded=False, metadata=None, root="root", **more
    ):
        self._options = {"expanded": expanded, "root": root, **(metadata or {}), **more}
        super().__init__(data=data, url=url, filename=filename)
        if isinstance(self.data, str):
            import json

            self.data = json.loads(self.data)

    def _repr_json_(self):
        return self.data, self._options


class GeoJSON(JSON):
    """A GeoJSON value."""

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"application/geo+json": self.data}, {"application/geo+json": self._options}


class Code(TextDisplayObject):
    """Source code to show."""

    def __init__(self, data=None, url=None, filename=None, language=None):
        self.language = language
        super().__init__(data=data, url=url, filename=filename)

    def _repr_markdown_(self):
        fence = "```"
        while fence in self.data:
            fence += "`"
        return "%s%s\n%s\n%s" % (fence, self.language or "", self.data.rstrip("\n"), fence)

    def _repr_html_(self):
        return "<pre><code>%s</code></pre>" % _escape(self.data)

    def __repr__(self):
        return self.data


class Image(DisplayObject):
    """An image: PNG, JPEG, GIF, WebP or SVG."""

    _binary = True
    _MAGIC = (
        (b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"),
        (b"<svg", "svg"), (b"<?xml", "svg"),
    )  # fmt: skip

    def __init__(
        self, data=None, url=None, filename=None, format=None, embed=None, width=None, height=None,
        retina=False, unconfined=False, metadata=None, alt=None,
    ):  # fmt: skip
        self.width, self.height, self.alt = width, height, alt
        is_url = isinstance(data, str) and data.startswith(("http://", "https://"))
        # A picture on the web is fetched by the client, as a page does; the sandbox has no network.
        self._linked = (url or data) if (url or is_url) and not embed else None
        if self._linked:
            self.data, self.url, self.filename, self.metadata = (
                None,
                self._linked,
                None,
                metadata or {},
            )
        else:
            super().__init__(data=data, url=url, filename=filename, metadata=metadata)
        self.format = (format or self._guess()).lower().replace("jpg", "jpeg")

    def _guess(self):
        start = (
            self.data[:64] if isinstance(self.data, bytes) else str(self.data or "").encode()[:64]
        )
        for magic, name in self._MAGIC:
            if start.lstrip().startswith(magic):
                return name
        return "png"

    def _repr_mimebundle_(self, include=None, exclude=None):
        sizes = {
            name: value for name, value in (("width", self.width), ("height", self.height)) if value
        }
        if self.alt:
            sizes["alt"] = self.alt
        if self._linked:
            attributes = "".join(
                ' %s="%s"' % (name, _escape(value)) for name, value in sizes.items()
            )
            return {"text/html": '<img src="%s"%s/>' % (_escape(self._linked), attributes)}
        kind = "image/svg+xml" if self.format == "svg" else "image/" + self.format
        extra = {**sizes, **self.metadata}
        return {kind: self.data}, ({kind: extra} if extra else {})


class _Media(DisplayObject):
    _binary = True
    _tag = _mime = None

    def __init__(self, data=None, filename=None, url=None, embed=None, mimetype=None, **options):
        self._options = options
        self._linked = url if url and not embed else None
        if isinstance(data, str) and data.startswith(("http://", "https://")) and not embed:
            self._linked, data = data, None
        if self._linked:
            self.data, self.url, self.filename, self.metadata = None, self._linked, None, {}
        else:
            super().__init__(data=data, url=url, filename=filename)
        self.mimetype = mimetype or self._type_of(self.filename or self.url)

    def _type_of(self, name):
        from mimetypes import guess_type

        return (guess_type(str(name))[0] if name else None) or self._mime

    def _repr_html_(self):
        source = self._linked or "data:%s;base64,%s" % (self.mimetype, _base64(self.data))
        extra = "".join(
            ' %s="%s"' % (name, _escape(self._options[name]))
            for name in ("width", "height")
            if self._options.get(name)
        )
        play = " autoplay" if self._options.get("autoplay") else ""
        return '<%s controls%s%s src="%s"></%s>' % (
            self._tag,
            extra,
            play,
            _escape(source),
            self._tag,
        )


class Audio(_Media):
    """Sound: a file, bytes of one, or samples with their `rate`."""

    _tag, _mime = "audio", "audio/wav"

    def __init__(
        self,
        data=None,
        filename=None,
        url=None,
        embed=None,
        rate=None,
        autoplay=False,
        normalize=True,
        **options,
    ):
        if (
            data is not None
            and not isinstance(data, (str, bytes))
            and not hasattr(data, "__fspath__")
        ):
            if rate is None:
                raise ValueError("rate must be given with samples")
            data = _wave(data, rate, normalize)
        super().__init__(data, filename, url, embed, autoplay=autoplay, **options)


class Video(_Media):
    """A film: a file, or bytes of one."""

    _tag, _mime = "video", "video/mp4"


def _wave(samples, rate, normalize):
    import struct
    import wave
    from io import BytesIO

    channels = samples.tolist() if hasattr(samples, "tolist") else list(samples)
    if not channels or not isinstance(channels[0], (list, tuple)):
        channels = [channels]
    peak = max((abs(value) for channel in channels for value in channel), default=0) or 1
    scale = 32767 / (peak if normalize else 1)
    target = BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        flat = [
            int(max(-32767, min(32767, value * scale))) for row in zip(*channels) for value in row
        ]
        file.writeframes(struct.pack("<%dh" % len(flat), *flat))
    return target.getvalue()


class IFrame:
    """Another page within this one."""

    def __init__(self, src, width, height, extras=None, **params):
        self.src, self.width, self.height = src, width, height
        self.extras, self.params = list(extras or ()), params

    def _repr_html_(self):
        from urllib.parse import urlencode

        query = "?" + urlencode(self.params) if self.params else ""
        sizes = 'width="%s" height="%s"' % (_escape(self.width), _escape(self.height))
        rest = " ".join(("allowfullscreen", *self.extras))
        return '<iframe %s src="%s" frameborder="0" %s></iframe>' % (
            sizes,
            _escape(self.src + query),
            rest,
        )


class YouTubeVideo(IFrame):
    """A film by its YouTube id."""

    def __init__(self, id, width=400, height=300, **options):
        super().__init__("https://www.youtube.com/embed/" + id, width, height, **options)


class FileLink:
    """A link to a file of the session."""

    def __init__(
        self, path, url_prefix="", result_html_prefix="", result_html_suffix="<br>", **ignored
    ):
        self.path, self.url_prefix = path, url_prefix
        self._prefix, self._suffix = result_html_prefix, result_html_suffix

    def _repr_html_(self):
        target = _escape(self.url_prefix + str(self.path))
        return '%s<a href="%s" target="_blank">%s</a>%s' % (
            self._prefix,
            target,
            _escape(self.path),
            self._suffix,
        )

    def __repr__(self):
        return str(self.path)


class FileLinks(FileLink):
    """Links to all files below a directory."""

    def _repr_html_(self):
        return "".join(FileLink(path, self.url_prefix)._repr_html_() for path in self._paths())

    def _paths(self):
        import os

        for folder, _, names in sorted(os.walk(self.path)):
            for name in sorted(names):
                yield os.path.join(folder, name)

    def __repr__(self):
        return "\n".join(self._paths())


class ProgressBar(DisplayObject):
    """A bar that `progress` moves."""

    def __init__(self, total):
        super().__init__(data="")
        self.total = total
        self._progress = 0
        self._handle = DisplayHandle()

    def _repr_html_(self):
        return '<progress style="width:60ex" max="%s" value="%s"></progress>' % (
            self.total,
            self._progress,
        )

    def __repr__(self):
        return "[%s/%s]" % (self._progress, self.total)

    def display(self):
        """Shows the bar."""
        self._handle.display(self)

    def update(self):
        """Shows the bar as it is now."""
        self._handle.update(self)

    @property
    def progress(self):
        """How far it is."""
        return self._progress

    @progress.setter
    def progress(self, value):
        self._progress = value
        self.update()

    def __iter__(self):
        self.display()
        self._progress = -1
        return self

    def __next__(self):
        if self._progress + 1 >= self.total:
            raise StopIteration
        self.progress += 1
        return self._progress


def _display_as(kind, cls):
    def show(*objects, raw=False, metadata=None, **options):
        for value in objects:
            if raw:
                publish_display_data({kind: value}, {kind: metadata} if metadata else None)
            else:
                display(value, include=(kind, "text/plain"), metadata=metadata, **options)

    show.__name__ = show.__qualname__ = "display_" + cls
    show.__doc__ = "Shows objects as %s." % kind
    return show


display_html = _display_as("text/html", "html")
display_markdown = _display_as("text/markdown", "markdown")
display_svg = _display_as("image/svg+xml", "svg")
display_png = _display_as("image/png", "png")
display_jpeg = _display_as("image/jpeg", "jpeg")
display_latex = _display_as("text/latex", "latex")
display_json = _display_as("application/json", "json")
display_javascript = _display_as("application/javascript", "javascript")
display_pdf = _display_as("application/pdf", "pdf")
display_pretty = _display_as("text/plain", "pretty")


def set_matplotlib_formats(*formats, **options):
    """Chooses how figures are sent: `png`, `retina`, `svg`, `jpeg` or `pdf`."""
    from _cellgate import figure_display

    figure_display.choose(formats)

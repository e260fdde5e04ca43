# What `python -c` is given: puts the runner's modules within reach and answers its main function.
#
# The modules live in a read-only memfd on descriptor 5 (`name_len u16, name, source_len u32,
# source`, little endian, repeated), so a sandbox needs no files of ours. Each is compiled when it
# is first used: most sessions never need most of them, and compiling is what start-up costs.


def boot():
    import builtins
    import sys

    if sys.version_info < (3, 9):
        sys.exit("cellgate needs Python 3.9 or newer; this is " + sys.version.split()[0])
    from _thread import RLock
    from posix import fstat, pread

    bundle_fd = 5
    root = "_cellgate"
    module_type, spec_type = type(sys), type(sys.__spec__)

    class Bundle:
        """Finds and loads `_cellgate.*`; keeps the modules where user code cannot lose them."""

        def __init__(self):
            self.places = {}
            self.loaded = {}
            self.lock = RLock()
            # What user code does to `builtins` must not reach our own modules.
            self.builtins = dict(vars(builtins))
            data = pread(bundle_fd, fstat(bundle_fd).st_size, 0)
            at = 0
            while at < len(data):
                name_end = at + 2 + int.from_bytes(data[at : at + 2], "little")
                source = name_end + 4
                length = int.from_bytes(data[name_end:source], "little")
                self.places[data[at + 2 : name_end].decode()] = (source, length)
                at = source + length
            self.package = module_type(root, "The runner of cellgate.")
            self.package.__path__ = []
            self.package.__getattr__ = self.load

        def load(self, name):
            """The module `_cellgate.<name>`, executed once. Raises AttributeError if unknown."""
            with self.lock:  # no thread may see half a module
                module = self.loaded.get(name)
                if module is not None:
                    return module
                if name not in self.places:
                    raise AttributeError("the runner has no module " + repr(name))
                start, length = self.places[name]
                source = pread(bundle_fd, length, start).decode()
                full_name = root + "." + name
                module = module_type(full_name)
                module.__package__ = root
                module.__builtins__ = self.builtins
                self.loaded[name] = sys.modules[full_name] = module
                try:
                    exec(
                        compile(source, "<cellgate/" + name + ".py>", "exec", 0, True), vars(module)
                    )
                except BaseException:  # an interrupt: the next one to need it tries again
                    del self.loaded[name]
                    sys.modules.pop(full_name, None)
                    raise
                setattr(self.package, name, module)
                return module

        # The import protocol, for imports by name from outside (matplotlib's backend) and for
        # our own after user code emptied sys.modules: always answers the modules it has.

        def find_spec(self, name, path=None, target=None):
            if name == root or name.startswith(root + ".") and name[len(root) + 1 :] in self.places:
                return spec_type(name, self, is_package=name == root)
            return None

        def create_module(self, spec):
            return self.package if spec.name == root else self.load(spec.name[len(root) + 1 :])

        def exec_module(self, module):
            pass

    bundle = Bundle()
    sys.modules[root] = bundle.package
    sys.meta_path.insert(0, bundle)
    bundle.package.bundle = bundle
    del sys.modules["__main__"].boot
    return bundle.load("main").main


boot()()

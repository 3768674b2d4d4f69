"""The wheel holds a shared library: it is of one platform, and of any Python 3."""

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.dist import Distribution


class WithLibrary(Distribution):
    """Not pure, though nothing is compiled here."""

    def has_ext_modules(self):
        return True


class AnyPython(bdist_wheel):
    """No extension module: the library is loaded by ctypes."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(distclass=WithLibrary, cmdclass={"bdist_wheel": AnyPython})

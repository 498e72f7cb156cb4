#!/usr/bin/env python3
"""Figures on how the source reads: its names, its rooms, its comments. Run anywhere, with Python alone:

    tests/measure_house.py              # this tree
    tests/measure_house.py FOLDER       # another one, to compare
    tests/measure_house.py --list       # and what stands behind the figures

Code of unit tests (`#[cfg(test)] mod …`, and folders and files named `tests`) does not count.
"""
import argparse
import collections
import pathlib
import re
import statistics

TYPE = re.compile(r'^\s*(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:struct|enum|trait|union|type)\s+([A-Z]\w*)')
FUNCTION = re.compile(r'^(\s*)(?:pub(?:\([^)]*\))?\s+)?(?:const\s+|async\s+|unsafe\s+|extern\s+"C"\s+)*fn\s+(\w+)')
WORD = re.compile(r'[A-Z][a-z0-9]*')


def production(path):
    """The lines of a file without its unit tests, which stand at its end."""
    lines = path.read_text().split('\n')
    for at, line in enumerate(lines):
        if line.startswith('#[cfg(test)]') and re.match(r'(#\[|mod \w+ \{|pub mod \w+ \{)', lines[at + 1]) and 'mod ' in ''.join(lines[at + 1:at + 3]):
            return lines[:at]
    return lines[:-1] if lines and not lines[-1] else lines


def is_test(path):
    return 'tests' in path.parts or path.stem == 'tests'


def definitions(sources):
    """Where each type name is defined; types that a trait only names do not count."""
    found = collections.defaultdict(list)
    for path, lines in sources.items():
        depth_of_impl = None
        for number, line in enumerate(lines, 1):
            indent = len(line) - len(line.lstrip())
            if depth_of_impl is None and re.match(r'\s*(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:impl|trait)\b', line) and not line.rstrip().endswith('}'):
                depth_of_impl = indent
                if not TYPE.match(line):
                    continue
            elif depth_of_impl is not None and line.startswith(' ' * depth_of_impl + '}'):
                depth_of_impl = None
                continue
            match = TYPE.match(line)
            if match and not (depth_of_impl is not None and indent > depth_of_impl):
                found[match[1]].append(f'{path}:{number}')
    return found


def functions(sources):
    """Name, place and length of each function, from its `fn` to its closing brace."""
    for path, lines in sources.items():
        for at, line in enumerate(lines):
            match = FUNCTION.match(line)
            if not match:
                continue
            for end in range(at, len(lines)):
                if lines[end].startswith(match[1] + '}'):
                    yield end - at + 1, match[2], f'{path}:{at + 1}'
                    break
                if end == at and (line.rstrip().endswith(';') or line.rstrip().endswith('}')):
                    break
                if lines[end].startswith(match[1]) and lines[end].rstrip().endswith(';') and lines[end][len(match[1]):len(match[1]) + 1] not in (' ', ''):
                    break


def module_of(path, room):
    """`src/session/client_side/mod.rs` -> ("client_side",)."""
    parts = path.relative_to(room).with_suffix('').parts
    return parts[:-1] if parts[-1] == 'mod' else parts


def uses(text):
    """Each path after `use`, groups taken apart."""
    for statement in re.findall(r'^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);', text, re.M):
        yield from spread(re.sub(r'\s+', '', re.sub(r'\bas\b\s+\w+', '', statement)))


def spread(path):
    at = path.find('{')
    if at < 0:
        yield path.split('::')
        return
    before, inner, depth, start = path[:at], path[at + 1:-1], 0, 0
    for place, letter in enumerate(inner + ','):
        depth += (letter == '{') - (letter == '}')
        if letter == ',' and depth == 0:
            if inner[start:place]:
                yield from spread(before + inner[start:place])
            start = place + 1


def back_arrows(sources, room):
    """Imports between the files of a room that would have to go for none to run in a circle: the room's modules in the
    order that leaves fewest. A folder's door may name what is in it, and that does not count."""
    files = {module_of(path, room): path for path in sources if room in path.parents}
    edges = set()
    for module, path in files.items():
        is_door = path.name == 'mod.rs'
        for target in uses('\n'.join(sources[path])):
            base = list(module) if is_door else list(module[:-1])
            if target[:2] == ['crate', room.name]:
                target, base = target[2:], []
            elif target[0] == 'self':
                target = target[1:]
            elif target[0] == 'super':
                if not is_door:
                    base = list(module)
                while target and target[0] == 'super':
                    base, target = base[:-1], target[1:]
            elif not is_door or target[0] == 'crate':
                continue
            full = base + target
            for cut in range(len(full), -1, -1):
                if tuple(full[:cut]) in files:
                    other = tuple(full[:cut])
                    break
            if other != module and other != () and module != () and module != other[:len(module)]:
                edges.add((module, other))
    order = arrange({node for edge in edges for node in edge}, edges)
    rank = {node: place for place, node in enumerate(order)}
    return sorted((a, b) for a, b in edges if rank[a] > rank[b])


def arrange(nodes, edges):
    """Importers first, as far as that goes (Eades, Lin and Smyth's heuristic for feedback arcs), then improved by moving
    one at a time."""
    left, first, last = set(nodes), [], []
    while left:
        out = {n: sum(a == n and b in left for a, b in edges) for n in left}
        into = {n: sum(b == n and a in left for a, b in edges) for n in left}
        sinks = sorted(n for n in left if out[n] == 0)
        sources = sorted(n for n in left if into[n] == 0 and out[n] > 0)
        if sinks:
            last = [sinks[0]] + last
            left.remove(sinks[0])
        elif sources:
            first.append(sources[0])
            left.remove(sources[0])
        else:
            best = max(sorted(left), key=lambda n: out[n] - into[n])
            first.append(best)
            left.remove(best)
    order = first + last

    def cost(order):
        rank = {node: place for place, node in enumerate(order)}
        return sum(rank[a] > rank[b] for a, b in edges)
    best, better = cost(order), True
    while better:
        better = False
        for node in list(order):
            rest = [n for n in order if n != node]
            for place in range(len(order)):
                tried = rest[:place] + [node] + rest[place:]
                if cost(tried) < best:
                    order, best, better = tried, cost(tried), True
                    break
    return order


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument('folder', nargs='?', default=pathlib.Path(__file__).resolve().parent.parent, type=pathlib.Path)
    arguments.add_argument('--list', action='store_true')
    options = arguments.parse_args()
    source = options.folder / 'src'
    paths = sorted(path for path in source.rglob('*.rs') if not is_test(path.relative_to(source)))
    sources = {path: production(path) for path in paths}
    names = definitions(sources)
    single = sorted(name for name in names if len(WORD.findall(name)) <= 1)
    shared = {name: places for name, places in sorted(names.items()) if len(places) > 1}
    lines = [line.strip() for text in sources.values() for line in text if line.strip()]
    why = [line for line in lines if line.startswith('//') and not line.startswith(('///', '//!'))]
    every = {path: len(path.read_text().split('\n')) - 1 for path in source.rglob('*.rs')}
    rooms = collections.Counter()
    for path, count in every.items():
        rooms[path.relative_to(source).parts[0]] += count
    (room, size), = rooms.most_common(1)
    arrows = back_arrows(sources, source / 'session')
    long = sorted((entry for entry in functions(sources) if entry[0] > 60), reverse=True)
    readme = options.folder / 'README.md'
    rows = [
        ('type names', len(names), ''),
        ('share of one-word type names', f'{100 * len(single) / len(names):.0f} %', '<= 30 %'),
        ('names that more than one definition shares', len(shared), '<= 10'),
        ('median letters of a type name', f'{statistics.median(map(len, names)):.0f}', '>= 10'),
        ('share of lines that are why-comments', f'{100 * len(why) / len(lines):.1f} %', '>= 3 %'),
        ('largest room', f'{room}, {100 * size / sum(every.values()):.0f} %', '<= 20 %'),
        ('arrows inside session/ that run back up', len(arrows), '0'),
        ('functions over 60 lines', len(long), '0'),
        ('bytes of README.md', readme.stat().st_size, '<= 8192'),
    ]
    for name, value, aim in rows:
        print(f'{name:46} {value!s:>14}   {aim}')
    if options.list:
        print('\none word:', ' '.join(single))
        print('\nshared:')
        for name, places in shared.items():
            print(f'  {name}: {" ".join(place.removeprefix(str(options.folder) + "/") for place in places)}')
        print('\nback arrows:')
        for a, b in arrows:
            print(f'  {"::".join(a)} -> {"::".join(b)}')
        print('\nlong functions:')
        for length, name, place in long:
            print(f'  {length} {name} {place}')


if __name__ == '__main__':
    main()

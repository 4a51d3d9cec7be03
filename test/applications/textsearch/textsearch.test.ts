/**
 * The algorithms of a kernel, and searches with them, as in Linux 6.17, lib/textsearch.c.
 */
import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import {
  type FsmToken,
  type Pattern,
  TextSearch,
  type TextSearchOps,
  TS_AUTOLOAD,
  TS_IGNORECASE,
  type TsConfig,
  TsFsmRecur,
  TsFsmType,
  type TsState,
  textsearch,
  textsearchSymbols,
  UINT_MAX,
} from '../../../src/applications/textsearch/index.js'
import { boot, SystemError } from '../../../src/index.js'
import * as bm from '../../../src/modules/ts_bm.js'
import * as fsm from '../../../src/modules/ts_fsm.js'
import * as kmp from '../../../src/modules/ts_kmp.js'
import { accepts } from './reference.js'

const ENOENT = 2
const EEXIST = 17
const EINVAL = 22

const kernel = boot()
after(() => kernel.shutdown())
const search = textsearch(kernel)

const state = (): TsState => ({ offset: 0 })
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')
const prepare = (algo: string, pattern: Pattern, flags = 0): Promise<TsConfig> =>
  search.prepare(algo, pattern, flags | TS_AUTOLOAD)

/** All that find and next give, UINT_MAX included; no more than `most`. */
function all(conf: TsConfig, text: string, most = 10): number[] {
  const where = state()
  const found = [search.findContinuous(conf, where, bytes(text))]
  while (found.at(-1) !== UINT_MAX && found.length < most) found.push(search.next(conf, where))
  return found
}

function blocks(conf: TsConfig, ...texts: string[]): number[] {
  const text = bytes(texts.join(''))
  const asked: number[] = []
  conf.getNextBlock = consumed => {
    asked.push(consumed)
    let end = 0
    for (const { length } of texts) {
      end += length
      if (end > consumed) return text.subarray(consumed, end)
    }
    return new Uint8Array(0)
  }
  return asked
}

/** An algorithm that finds nothing. */
const algorithm = (name: string, more: Partial<TextSearchOps> = {}): TextSearchOps => ({
  name,
  init: pattern => ({ pattern }),
  find: () => UINT_MAX,
  getPattern: () => bytes('pattern'),
  getPatternLen: () => 7,
  ...more,
})

const fails = (code: string) => (error: unknown) => error instanceof SystemError && error.code === code

describe('register and unregister', () => {
  let own: TextSearch
  beforeEach(() => {
    own = new TextSearch({ requestModule: async () => {} })
  })

  test('the same name twice: EEXIST; after unregister it can be taken again', () => {
    const ops = algorithm('mine')
    own.register(ops)
    assert.throws(() => own.register(algorithm('mine')), fails('EEXIST'))
    assert.throws(() => own.register(ops), fails('EEXIST'))
    own.unregister(ops)
    own.register(algorithm('mine'))
  })

  for (const lacking of ['name', 'find', 'init', 'getPattern', 'getPatternLen'] as const) {
    test(`ops without ${lacking}: EINVAL, and the error says so`, () => {
      const ops = { ...algorithm('mine'), [lacking]: undefined } as unknown as TextSearchOps
      assert.throws(
        () => own.register(ops),
        (error: unknown) => fails('EINVAL')(error) && String(error).includes(lacking),
      )
    })
  }

  test('ops that lack something: EINVAL although the name is taken', () => {
    own.register(algorithm('mine'))
    assert.throws(() => own.register({ name: 'mine' } as unknown as TextSearchOps), fails('EINVAL'))
  })

  test('unregister twice: ENOENT; another object of the same name: ENOENT, and the first stays', async () => {
    const ops = algorithm('mine')
    own.register(ops)
    assert.throws(() => own.unregister(algorithm('mine')), fails('ENOENT'))
    await own.prepare('mine', 'x')
    own.unregister(ops)
    assert.throws(() => own.unregister(ops), fails('ENOENT'))
  })

  test('the symbols for modules give 0 and -errno', () => {
    const { textsearch_register, textsearch_unregister } = textsearchSymbols(own)
    const ops = algorithm('mine')
    assert.equal(textsearch_register(ops), 0)
    assert.equal(textsearch_register(ops), -EEXIST)
    assert.equal(textsearch_register({} as unknown as TextSearchOps), -EINVAL)
    assert.equal(textsearch_unregister(ops), 0)
    assert.equal(textsearch_unregister(ops), -ENOENT)
  })

  test('no object: a TypeError', () => {
    for (const wrong of [undefined, null, 'kmp', 1]) {
      assert.throws(() => own.register(wrong as unknown as TextSearchOps), { code: 'ERR_INVALID_ARG_TYPE' })
      assert.throws(() => own.unregister(wrong as unknown as TextSearchOps), { code: 'ERR_INVALID_ARG_TYPE' })
    }
  })

  test('each kernel has its own algorithms', async () => {
    const other = boot()
    assert.notEqual(textsearch(other), search)
    assert.equal(textsearch(kernel), search)
    const ops = algorithm('only-here')
    search.register(ops)
    await assert.rejects(textsearch(other).prepare('only-here', 'x'), fails('ENOENT'))
    search.unregister(ops)
    await other.shutdown()
  })
})

describe('prepare and destroy', () => {
  let asked: string[] = []
  let requested: (name: string) => Promise<unknown>
  let own: TextSearch
  beforeEach(() => {
    asked = []
    requested = async () => {}
    own = new TextSearch({
      requestModule: name => {
        asked.push(name)
        return requested(name)
      },
    })
  })

  test('an empty pattern: EINVAL, even for an unknown algorithm, and no module is asked for', async () => {
    await assert.rejects(own.prepare('none', '', TS_AUTOLOAD), fails('EINVAL'))
    await assert.rejects(own.prepare('none', new Uint8Array(0)), fails('EINVAL'))
    await assert.rejects(own.prepare('none', []), fails('EINVAL'))
    assert.deepEqual(asked, [])
  })

  test('an unknown algorithm: ENOENT; without TS_AUTOLOAD no module is asked for', async () => {
    await assert.rejects(own.prepare('none', 'x'), fails('ENOENT'))
    assert.deepEqual(asked, [])
  })

  test('TS_AUTOLOAD asks for ts_<algorithm> and looks it up again, whatever that gave', async () => {
    await assert.rejects(own.prepare('none', 'x', TS_AUTOLOAD), fails('ENOENT'))
    requested = async () => {
      throw new Error('modprobe failed')
    }
    await assert.rejects(own.prepare('none', 'x', TS_AUTOLOAD), (error: Error) => {
      return fails('ENOENT')(error) && String(error.cause).includes('modprobe failed')
    })
    requested = async () => {
      own.register(algorithm('late'))
      throw new Error('failed after all')
    }
    assert.equal((await own.prepare('late', 'x', TS_AUTOLOAD)).ops.name, 'late')
    await own.prepare('late', 'x', TS_AUTOLOAD)
    assert.deepEqual(asked, ['ts_none', 'ts_none', 'ts_late'])
  })

  test('a kernel loads kmp, bm and fsm by itself, for many at once', async () => {
    const other = boot()
    const there = textsearch(other)
    await assert.rejects(there.prepare('kmp', 'x'), fails('ENOENT'))
    const confs = await Promise.all(
      ['kmp', 'kmp', 'bm', 'bm', 'kmp'].map(algo => there.prepare(algo, 'x', TS_AUTOLOAD)),
    )
    assert.deepEqual(
      confs.map(({ ops }) => ops.name),
      ['kmp', 'kmp', 'bm', 'bm', 'kmp'],
    )
    await there.prepare('kmp', 'x')
    await assert.rejects(there.prepare('constructor', 'x', TS_AUTOLOAD), fails('ENOENT'))
    await other.shutdown()
  })

  test("the algorithm's own error comes through: a negative number, a SystemError, anything", async () => {
    let references = 0
    const owner = {
      tryGet: () => {
        references += 1
        return true
      },
      put: () => {
        references -= 1
      },
    }
    const boom = new TypeError('boom')
    let fail: () => number
    own.register(algorithm('picky', { owner, init: () => fail() }))
    fail = () => -12
    await assert.rejects(own.prepare('picky', 'x'), { code: 'ENOMEM', retval: -12 })
    fail = () => {
      throw new SystemError('EACCES', 'no')
    }
    await assert.rejects(own.prepare('picky', 'x'), fails('EACCES'))
    fail = () => {
      throw boom
    }
    await assert.rejects(own.prepare('picky', 'x'), (error: unknown) => error === boom)
    assert.equal(references, 0)
  })

  test("the module's reference is held from prepare to destroy", async () => {
    let references = 0
    let going = false
    const destroyed: unknown[] = []
    own.register(
      algorithm('held', {
        owner: {
          tryGet: () => {
            if (!going) references += 1
            return !going
          },
          put: () => {
            references -= 1
          },
        },
        destroy: conf => {
          assert.ok(references > 0)
          destroyed.push(conf)
        },
      }),
    )
    const first = await own.prepare('held', 'x')
    const second = await own.prepare('held', 'x')
    assert.equal(references, 2)
    own.destroy(first)
    assert.equal(references, 1)
    assert.throws(() => own.destroy(first), { code: 'ERR_INVALID_ARG_VALUE' })
    assert.equal(references, 1)
    second[Symbol.dispose]()
    second[Symbol.dispose]()
    assert.equal(references, 0)
    assert.deepEqual(destroyed, [first, second])
    going = true
    await assert.rejects(own.prepare('held', 'x'), fails('ENOENT'))
    await assert.rejects(own.prepare('held', 'x', TS_AUTOLOAD), fails('ENOENT'))
    assert.deepEqual([references, asked], [0, ['ts_held']])
  })

  test('a config that is destroyed cannot be used', async () => {
    const conf = await prepare('kmp', 'a')
    search.destroy(conf)
    const error = { code: 'ERR_INVALID_ARG_VALUE' }
    assert.throws(() => search.find(conf, state()), error)
    assert.throws(() => search.next(conf, state()), error)
    assert.throws(() => search.findContinuous(conf, state(), bytes('a')), error)
    assert.throws(() => search.getPattern(conf), error)
    assert.throws(() => search.getPatternLen(conf), error)
  })

  test('wrong arguments are refused', async () => {
    const type = { code: 'ERR_INVALID_ARG_TYPE' }
    const range = { code: 'ERR_OUT_OF_RANGE' }
    for (const wrong of [1, null, undefined, {}, ['x'], [null], [1, { type: 1, recur: 0 }]]) {
      await assert.rejects(prepare('kmp', wrong as unknown as Pattern), type)
    }
    for (const wrong of [[256], [-1], [1.5], [{ type: 65_536, recur: 0 }], [{ type: 0, recur: 256 }]]) {
      await assert.rejects(prepare('fsm', wrong as unknown as Pattern), range)
    }
    await assert.rejects(prepare('fsm', [{ type: 0, recur: 0, value: 300 }]), range)
    await assert.rejects(search.prepare(1 as unknown as string, 'x'), type)
    await assert.rejects(search.prepare('kmp', 'x', 'AUTOLOAD' as unknown as number), type)
    const conf = await prepare('kmp', 'a')
    assert.throws(() => search.find({} as TsConfig, state()), type)
    assert.throws(() => search.find(conf, undefined as unknown as TsState), type)
    assert.throws(() => search.findContinuous(conf, state(), 'a' as unknown as Uint8Array), type)
    conf.getNextBlock = () => bytes('a')
    for (const offset of [-1, 0.5, Number.NaN, undefined, '0']) {
      assert.throws(() => search.next(conf, { offset } as TsState), range)
    }
  })
})

describe('find and next', () => {
  for (const algo of ['kmp', 'bm', 'fsm']) {
    test(`${algo}: getPattern gives a copy, getPatternLen bytes; the pattern was copied`, async () => {
      const pattern = Uint8Array.of(1, 0, 0, 97)
      const conf = await prepare(algo, pattern)
      pattern.fill(9)
      search.getPattern(conf).fill(9)
      assert.deepEqual([...search.getPattern(conf)], [1, 0, 0, 97])
      assert.equal(search.getPatternLen(conf), 4)
    })

    test(`${algo}: finish is called after every find and next, hits, misses and failures`, async () => {
      const conf = await prepare(algo, algo === 'fsm' ? [{ type: 0, recur: 0, value: 97 }] : 'a')
      const finished: TsState[] = []
      conf.finish = (_, where) => {
        finished.push(where)
      }
      const where = state()
      assert.equal(search.findContinuous(conf, where, bytes('a')), 0)
      assert.equal(finished.length, 1)
      search.next(conf, where)
      assert.equal(finished.length, 2)
      assert.equal(search.findContinuous(conf, where, bytes('b')), UINT_MAX)
      assert.equal(search.next(conf, where), UINT_MAX)
      assert.equal(finished.length, 4)
      conf.getNextBlock = () => {
        throw new Error('no more memory')
      }
      assert.throws(() => search.find(conf, where), /no more memory/)
      assert.equal(finished.length, 5)
      assert.ok(finished.every(item => item === where))
    })

    test(`${algo}: no getNextBlock, and one that gives no bytes, are refused`, async () => {
      const conf = await prepare(algo, Uint8Array.of(0, 0, 0, 97))
      assert.throws(() => search.find(conf, state()), { code: 'ERR_INVALID_ARG_VALUE' })
      for (const wrong of [undefined, null, 'text', [97]]) {
        conf.getNextBlock = () => wrong as unknown as Uint8Array
        assert.throws(() => search.find(conf, state()), { code: 'ERR_INVALID_ARG_TYPE' })
      }
    })

    test(`${algo}: an empty text has no match`, async () => {
      const conf = await prepare(algo, algo === 'fsm' ? [{ type: 1, recur: TsFsmRecur.ANY }] : 'a')
      assert.deepEqual(all(conf, ''), [UINT_MAX])
    })
  }

  test('findContinuous sets the getNextBlock of a shared config and remembers the text in state.cb', async () => {
    const conf = await prepare('kmp', 'ab')
    const own = () => new Uint8Array(0)
    conf.getNextBlock = own
    const one = state()
    const two = state()
    assert.equal(search.findContinuous(conf, one, bytes('ab..ab')), 0)
    assert.notEqual(conf.getNextBlock, own)
    assert.equal(search.findContinuous(conf, two, bytes('xxxab')), 3)
    assert.equal(search.next(conf, one), 4)
    assert.equal(search.next(conf, one), UINT_MAX)
    assert.equal(search.next(conf, two), UINT_MAX)
  })

  test('find begins at 0 whatever state says; next goes on where state says, in mid-block too', async () => {
    const conf = await prepare('kmp', 'aa')
    const asked = blocks(conf, 'aaa', 'aa')
    const where = { offset: 9 }
    assert.deepEqual([search.find(conf, where), where.offset], [0, 2])
    assert.deepEqual([search.next(conf, where), where.offset], [2, 4])
    assert.deepEqual([search.next(conf, where), where.offset], [UINT_MAX, 4])
    assert.deepEqual(asked, [0, 2, 3, 4, 5])
  })

  test("getNextBlock and finish get the config and the search's own state", async () => {
    const conf = await prepare('bm', 'a')
    const where = { offset: 0, cb: { mine: true } }
    const seen: unknown[][] = []
    conf.getNextBlock = (...args) => {
      seen.push(args)
      return new Uint8Array(0)
    }
    search.find(conf, where)
    assert.deepEqual(seen, [[0, conf, where]])
  })
})

describe('kmp and bm', () => {
  test('kmp "aa" in "aaaa" gives 0, 2, UINT_MAX', async () => {
    assert.deepEqual(all(await prepare('kmp', 'aa'), 'aaaa'), [0, 2, UINT_MAX])
  })

  test('bm gives the first match again and again, and leaves state.offset alone', async () => {
    assert.deepEqual(all(await prepare('bm', 'aa'), '.aaaa', 3), [1, 1, 1])
  })

  test('"ab" in the blocks "xa" and "bx": kmp gives 1, bm UINT_MAX', async () => {
    const across = await prepare('kmp', 'ab')
    blocks(across, 'xa', 'bx')
    assert.equal(search.find(across, state()), 1)
    const within = await prepare('bm', 'ab')
    blocks(within, 'xa', 'bx')
    assert.equal(search.find(within, state()), UINT_MAX)
  })

  test('bm begins anew in each block: a match at the very start of a later one is found', async () => {
    const conf = await prepare('bm', 'abc')
    blocks(conf, 'xxxxxab', 'abcx', 'x')
    assert.equal(search.find(conf, state()), 7)
  })

  for (const algo of ['kmp', 'bm']) {
    test(`${algo}: TS_IGNORECASE folds Latin-1, and getPattern gives capitals`, async () => {
      const conf = await prepare(algo, bytes('Größe ÄäàÀ×÷'), TS_IGNORECASE)
      // Linux's toupper takes 32 off each small letter: ß becomes ¿.
      assert.deepEqual(Buffer.from(search.getPattern(conf)), bytes('GRÖ¿E ÄÄÀÀ×÷'))
      assert.equal(search.findContinuous(conf, state(), bytes('..gRöße ääÀà×÷')), 2)
      assert.equal(search.findContinuous(conf, state(), bytes('..gRöße ääÀà÷÷')), UINT_MAX)
      assert.equal(search.findContinuous(conf, state(), bytes('..gRö¿e ääÀà×÷')), 2)
    })

    test(`${algo}: without TS_IGNORECASE capitals are others`, async () => {
      const conf = await prepare(algo, 'aB')
      assert.equal(search.findContinuous(conf, state(), bytes('ABabAbaB')), 6)
    })

    test(`${algo}: a string pattern is its UTF-8`, async () => {
      const conf = await prepare(algo, 'ä')
      assert.equal(search.findContinuous(conf, state(), Buffer.from('xä')), 1)
      assert.equal(search.getPatternLen(conf), 2)
    })

    test(`${algo}: NULs, a pattern as long as the text, one that is longer`, async () => {
      assert.equal(search.findContinuous(await prepare(algo, [0, 0]), state(), Uint8Array.of(1, 0, 0)), 1)
      assert.equal(search.findContinuous(await prepare(algo, 'abc'), state(), bytes('abc')), 0)
      assert.equal(search.findContinuous(await prepare(algo, 'abcd'), state(), bytes('abc')), UINT_MAX)
    })

    test(`${algo}: a text in shared memory`, async () => {
      const text = new Uint8Array(new SharedArrayBuffer(4))
      text.set(bytes('xxab'))
      assert.equal(search.findContinuous(await prepare(algo, 'ab'), state(), text), 2)
    })
  }
})

describe('fsm', () => {
  const a: FsmToken = { type: TsFsmType.SPECIFIC, recur: TsFsmRecur.SINGLE, value: 97 }
  const b: FsmToken = { ...a, value: 98 }
  const x: FsmToken = { ...a, value: 120 }
  const junk: FsmToken = { type: TsFsmType.WILDCARD, recur: TsFsmRecur.HEAD_IGNORE }
  const any = (token: FsmToken): FsmToken => ({ ...token, recur: TsFsmRecur.ANY })
  const multi = (token: FsmToken): FsmToken => ({ ...token, recur: TsFsmRecur.MULTI })
  const perhaps = (token: FsmToken): FsmToken => ({ ...token, recur: TsFsmRecur.PERHAPS })
  const first = async (tokens: FsmToken[], text: string) =>
    search.findContinuous(await prepare('fsm', tokens), state(), bytes(text))

  test('[a]: "a" gives 0; "ab" UINT_MAX, as it must end with the text; "ba" UINT_MAX, as it must begin with it', async () => {
    assert.equal(await first([a], 'a'), 0)
    assert.equal(await first([a], 'ab'), UINT_MAX)
    assert.equal(await first([a], 'ba'), UINT_MAX)
  })

  test('[junk*, a, a, b] in "aaab": UINT_MAX, as it never goes back', async () => {
    assert.equal(await first([junk, a, a, b], 'aaab'), UINT_MAX)
    assert.equal(await first([junk, a, a, b], '..aab'), 2)
  })

  test('[junk(alpha)*, x] in "1x": UINT_MAX, as what it skips must be of its class', async () => {
    const letters = { ...junk, type: TsFsmType.ALPHA }
    assert.equal(await first([letters, x], '1x'), UINT_MAX)
    assert.equal(await first([letters, x], 'yx'), 1)
  })

  test('ending in ANY or MULTI it is content with the least, and the text may go on', async () => {
    assert.equal(await first([a, multi(b)], 'abbbx'), 0)
    assert.equal(await first([a, multi(b)], 'ax'), UINT_MAX)
    assert.equal(await first([a, any(b)], 'ax'), 0)
    assert.equal(await first([a, any(b)], 'a'), 0)
    const where = state()
    const conf = await prepare('fsm', [a, multi(b)])
    search.findContinuous(conf, where, bytes('abbb'))
    assert.equal(where.offset, 2)
  })

  test('ending in PERHAPS the text must end there', async () => {
    assert.equal(await first([a, perhaps(b)], 'a'), 0)
    assert.equal(await first([a, perhaps(b)], 'ab'), 0)
    assert.equal(await first([a, perhaps(b)], 'abb'), UINT_MAX)
  })

  test('ANY and MULTI end at the first byte of the next token; the text must not end before', async () => {
    const wild = { type: TsFsmType.WILDCARD, recur: TsFsmRecur.ANY }
    assert.equal(await first([a, wild, b], 'axxb'), 0)
    assert.equal(await first([a, wild, b], 'axbxb'), UINT_MAX)
    assert.equal(await first([a, any(b), perhaps(x)], 'abb'), UINT_MAX)
    assert.equal(await first([a, multi(b), perhaps(x)], 'ab'), 0)
    assert.equal(await first([multi(a), a], 'aa'), 0)
  })

  test('an empty match is given at the place of the search, for ever', async () => {
    assert.deepEqual(all(await prepare('fsm', [any(b)]), 'a', 3), [0, 0, 0])
  })

  test('matches across blocks', async () => {
    const conf = await prepare('fsm', [junk, multi(a), b, x])
    blocks(conf, '.', '.a', 'a', 'b', 'x')
    assert.equal(search.find(conf, state()), 2)
  })

  test('each type matches what it says, for each byte', async () => {
    for (const type of Object.values(TsFsmType)) {
      const token = { type, recur: TsFsmRecur.SINGLE, value: 200 }
      const conf = await prepare('fsm', [token])
      for (let byte = 0; byte < 256; byte += 1) {
        const found = search.findContinuous(conf, state(), Uint8Array.of(byte)) === 0
        assert.equal(found, accepts(token, byte), `type ${type}, byte ${byte}`)
      }
    }
  })

  test('tokens may be given as bytes: type in 16 bits, recur, value', async () => {
    const conf = await prepare('fsm', Uint8Array.of(1, 0, 4, 0, 0, 0, 0, 98))
    assert.equal(search.findContinuous(conf, state(), bytes('aab')), 2)
    assert.equal(search.getPatternLen(conf), 8)
    assert.deepEqual([...search.getPattern(await prepare('fsm', [junk, b]))], [1, 0, 4, 0, 0, 0, 0, 98])
  })

  for (const [why, pattern, flags] of [
    ['no whole token', Uint8Array.of(0, 0, 0), 0],
    ['five bytes', Uint8Array.of(0, 0, 0, 97, 0), 0],
    ['TS_IGNORECASE', [a], TS_IGNORECASE],
    ['type 14', [{ type: 14, recur: 0 }], 0],
    ['type 256', [{ type: 256, recur: 0 }], 0],
    ['recur 5', [{ type: 0, recur: 5 }], 0],
    ['HEAD_IGNORE that is not first', [a, junk, b], 0],
    ['HEAD_IGNORE last', [a, junk], 0],
    ['HEAD_IGNORE alone', [junk], 0],
  ] as const) {
    test(`${why}: EINVAL`, async () => {
      await assert.rejects(prepare('fsm', pattern, flags), fails('EINVAL'))
    })
  }
})

describe('the modules', () => {
  for (const [name, module] of [
    ['kmp', kmp],
    ['bm', bm],
    ['fsm', fsm],
  ] as const) {
    test(`ts_${name}: init registers with its owner and gives its result, exit unregisters the same`, () => {
      const registered: TextSearchOps[] = []
      const owner = { tryGet: () => true, put() {} }
      const symbols = {
        textsearch_register: (ops: TextSearchOps) => registered.push(ops) - 1,
        textsearch_unregister: (ops: TextSearchOps) => {
          assert.equal(registered.pop(), ops)
          return 0
        },
      }
      assert.equal(module.license, 'GPL')
      assert.equal(typeof module.description, 'string')
      assert.equal(module.init({ symbols, module: owner }), 0)
      assert.equal(registered[0]?.name, name)
      assert.equal(registered[0]?.owner, owner)
      module.exit()
      module.exit()
      assert.equal(registered.length, 0)
      const refusing = { ...symbols, textsearch_register: () => -EEXIST }
      assert.equal(module.init({ symbols: refusing }), -EEXIST)
    })
  }
})

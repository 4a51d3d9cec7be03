import { slab } from './protocols.js'
import { testProtocol } from './test-protocol.js'

testProtocol(slab)

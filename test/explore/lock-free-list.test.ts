import { list } from './protocols.js'
import { testProtocol } from './test-protocol.js'

testProtocol(list)
